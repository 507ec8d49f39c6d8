"""What the pages read, in few threads: requests that wait for the same thing get one answer."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

READERS = 2
"""Threads that read the state database for the pages: each keeps a connection, so they are few and stay."""


class SharedReads:
    """Calls functions in threads. A thousand requests for a page cost as much as one; make it within an event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="web-reader")
        self._free = asyncio.Semaphore(READERS)
        self._waiting: dict[str, asyncio.Task[bytes]] = {}

    async def read(self, name: str, function: Callable[[], bytes]) -> bytes:
        """Return what `function` returns, called after this moment: by this request, or by another of that name."""
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
