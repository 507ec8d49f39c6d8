"""What the pages read, in few threads: requests that wait for the same thing get one answer."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

READERS = 2
"""Threads that read the state database for the pages: each keeps a connection, so they are few and stay."""
KEPT = 32
"""Answers that are kept for those whom an older one serves: pages of some 100 kB."""


class SharedReads:
    """Calls functions in threads. A thousand requests for a page cost as much as one; make it within an event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="web-reader")
        self._free = asyncio.Semaphore(READERS)
        self._waiting: dict[str, asyncio.Task[bytes]] = {}
        self._kept: dict[str, tuple[float, bytes]] = {}

    async def read(self, name: str, function: Callable[[], bytes], oldest: float = 0.0) -> bytes:
        """Return what `function` returns, called after this moment: by this request, or by another of that name.

        Args:
            oldest: for how many seconds an answer of another request that gave `oldest`, too, will do.
        """
        now = time.monotonic()
        if oldest and (kept := self._kept.get(name)) and now - kept[0] < oldest:
            return kept[1]
        answer = await self._shared(name, function)
        if oldest:
            self._kept.pop(name, None)  # so that the order is that of time
            self._kept[name] = now, answer
            while len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return answer

    async def _shared(self, name: str, function: Callable[[], bytes]) -> bytes:
        task = self._waiting.get(name)
        if task is None:
            task = self._waiting[name] = asyncio.create_task(self._call(name, function))
        return await asyncio.shield(task)  # others wait for it, too

    async def _call(self, name: str, function: Callable[[], bytes]) -> bytes:
        async with self._free:
            del self._waiting[name]
            return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()
