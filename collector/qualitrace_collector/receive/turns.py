"""Requests take turns: a large one must not hold up the small ones behind it."""

import asyncio
import ctypes
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from qualitrace_collector.receive.decode import decompress
from qualitrace_collector.receive.errors import TooLarge
from qualitrace_collector.receive.item_count import SMALL_BYTES

# Only one request that is larger is worked on at a time: one may take ten times its size in memory.
MEDIUM_BYTES = 2 << 20
MEDIUM_AT_ONCE = 4

_T = TypeVar("_T")


class Turns:
    """Does work on requests: on small ones at once, on others in threads, a few of similar size at a time."""

    def __init__(self) -> None:
        self._medium = asyncio.Semaphore(MEDIUM_AT_ONCE)
        self._large = asyncio.Semaphore(1)

    async def decompress(self, body: bytes, encoding: str, max_bytes: int) -> bytes:
        """Undo the content encoding, as `decompress` does; a few bytes may become many."""
        if len(body) <= SMALL_BYTES:
            with suppress(TooLarge):
                return decompress(body, encoding, min(max_bytes, SMALL_BYTES))
        return await self.take(MEDIUM_BYTES, partial(decompress, body, encoding, max_bytes))

    async def take(self, size: int, work: Callable[[], _T]) -> _T:
        """Return what `work`, on a request of that size (see `size_in_turns`), returns; raise what it raises."""
        if size <= SMALL_BYTES:
            return work()
        if size <= MEDIUM_BYTES:
            async with self._medium:
                return await asyncio.to_thread(work)
        async with self._large:
            try:
                return await asyncio.to_thread(work)
            finally:
                await asyncio.to_thread(_give_memory_back)  # which takes long where much was used


def _give_memory_back() -> None:
    # glibc would keep for each thread the most that it ever used.
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
