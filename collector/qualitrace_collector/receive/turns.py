"""Requests take turns: a large one must not hold up the small ones behind it.

One call of a parser holds Python's lock until it returns, which takes 0.1 s for 64 MB, and a request takes several. So
large requests are worked on in a process of their own. It is started by the first of them.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

from qualitrace_collector.process.memory import give_memory_back
from qualitrace_collector.process.startup import PARENT_VARIABLE, end_with_supervisor
from qualitrace_collector.receive.decode import decompress
from qualitrace_collector.receive.errors import TooLarge, Unavailable
from qualitrace_collector.receive.item_count import SMALL_BYTES

# Only one request that is larger is worked on at a time: one may take ten times its size in memory.
MEDIUM_BYTES = 2 << 20
MEDIUM_AT_ONCE = 4

_T = TypeVar("_T")


class Turns:
    """Does work on requests: on small ones at once, on medium ones in threads, on large ones in a process."""

    def __init__(self) -> None:
        self._medium = asyncio.Semaphore(MEDIUM_AT_ONCE)
        self._large = asyncio.Semaphore(1)
        self._process: ProcessPoolExecutor | None = None

    async def decompress(self, body: bytes, encoding: str, max_bytes: int) -> bytes:
        """Undo the content encoding, as `decompress` does; a few bytes may become many."""
        if len(body) <= SMALL_BYTES:
            with suppress(TooLarge):
                return decompress(body, encoding, min(max_bytes, SMALL_BYTES))
        async with self._medium:  # zlib lets other threads run
            return await asyncio.to_thread(decompress, body, encoding, max_bytes)

    async def take(self, size: int, work: Callable[[], _T]) -> _T:
        """Return what `work`, on a request of that size (see `size_in_turns`), returns; raise what it raises.

        Args:
            work: can be pickled, as its result and its errors can.

        Raises:
            Unavailable: the process for large requests died.
        """
        if size <= SMALL_BYTES:
            return work()
        if size <= MEDIUM_BYTES:
            async with self._medium:
                return await asyncio.to_thread(work)
        async with self._large:
            return await self._take_in_process(work)

    async def _take_in_process(self, work: Callable[[], _T]) -> _T:
        if self._process is None:
            # Not forked: a fork would copy the threads' locks, and keep the ports open after this process.
            self._process = ProcessPoolExecutor(1, get_context("spawn"), _begin, (os.getpid(),))
        try:
            return await asyncio.get_running_loop().run_in_executor(self._process, partial(_work, work))
        except BrokenProcessPool as error:
            self.close()
            raise Unavailable("the process that reads large requests died; try again", "reader_died") from error

    def close(self) -> None:
        """End the process for large requests at once, if there is one; the next one starts it again.

        Who waits for it gets Unavailable.
        """
        if self._process is None:
            return
        workers = list((self._process._processes or {}).values())  # pyright: ignore[reportPrivateUsage]
        self._process.shutdown(wait=False, cancel_futures=True)
        self._process = None
        for worker in workers:  # Python waits at its end for what they do, which takes ten seconds on a busy machine
            worker.kill()


def _begin(parent: int) -> None:
    """Set up the process for large requests."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent decides when to stop
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ[PARENT_VARIABLE] = str(parent)
    end_with_supervisor()


def _work(work: Callable[[], _T]) -> _T:
    try:
        return work()
    finally:
        give_memory_back()
