"""One call answers all requests that waited for it, and none that came after it began."""

import asyncio
import itertools
import threading

import pytest

from qualitrace_monitors.web.shared_reads import KEPT, READERS, SharedReads


def test_requests_that_wait_for_a_page_share_it() -> None:
    """While every thread is busy, a thousand requests for the same page become one call; another page has its own."""

    async def scenario() -> tuple[list[bytes], list[str]]:
        reads, release, calls = SharedReads(), threading.Event(), list[str]()

        def render(name: str) -> bytes:
            release.wait()
            calls.append(name)
            return b"%d" % len(calls)

        blocked = [asyncio.create_task(reads.read(f"{n}", lambda n=n: render(f"{n}"))) for n in range(READERS)]
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(reads.read("page", lambda: render("page"))) for _ in range(1000)]
        other = asyncio.create_task(reads.read("other", lambda: render("other")))
        await asyncio.sleep(0)
        waiting[0].cancel()  # one client goes away
        release.set()
        answers = await asyncio.gather(*waiting[1:])
        await asyncio.gather(*blocked, other)
        answers.append(await reads.read("page", lambda: render("page")))
        reads.close()
        return answers, calls

    answers, calls = asyncio.run(scenario())
    assert len(set(answers[:-1])) == 1
    assert answers[-1] not in answers[:-1]
    assert sorted(calls) == ["0", "1", "other", "page", "page"]


def test_a_failure_reaches_all_who_waited_and_is_forgotten() -> None:
    """The next request calls again."""

    async def scenario() -> bytes:
        reads = SharedReads()

        def fail() -> bytes:
            raise OSError("disk I/O error")

        first, second = (asyncio.create_task(reads.read("page", fail)) for _ in range(2))
        for task in (first, second):
            with pytest.raises(OSError, match="disk"):
                await task
        return await reads.read("page", lambda: b"page")

    assert asyncio.run(scenario()) == b"page"


def test_renewals_share_what_was_read_a_moment_ago() -> None:
    """Whoever asks for what is so now gets it; what is kept has a bound, and the oldest goes first."""

    async def scenario() -> list[list[int]]:
        reads, numbers = SharedReads(), itertools.count(1)

        async def read(name: str, oldest: float) -> int:
            return int(await reads.read(name, lambda: b"%d" % next(numbers), oldest))

        first = [await read("page", oldest) for oldest in (0, 60, 60, 0, 60, 1e-9)]
        others = [await read(f"other-{number}", 60) for number in range(KEPT)]
        last = [await read("page", 60), await read(f"other-{KEPT - 1}", 60)]
        reads.close()
        return [first, others[-1:], last]

    assert asyncio.run(scenario()) == [[1, 2, 2, 3, 2, 4], [4 + KEPT], [5 + KEPT, 4 + KEPT]]
