"""Who waits for whom: what takes long is done in a thread or a process, and nothing else is."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from qualitrace_collector.receive.checked_request import check_request
from qualitrace_collector.receive.decode import PROTOBUF
from qualitrace_collector.receive.errors import RequestError, TooManyItems, Unavailable, Undecodable
from qualitrace_collector.receive.item_count import SMALL_BYTES, size_in_turns
from qualitrace_collector.receive.settings import ItemLimits
from qualitrace_collector.receive.signals import TRACES
from qualitrace_collector.receive.turns import MEDIUM_BYTES, Turns
from support.otlp import rag_trace
from support.otlp import request as request_of
from support.otlp_json import to_otlp_json

KIND = TRACES.request


def waits_in_the_loop(kind: type[Message] | None, data: bytes) -> bool:
    """Whether all others wait while a request is worked on."""
    taken = asyncio.run(Turns().take(size_in_turns(kind, data), threading.current_thread))
    return taken is threading.main_thread()


def request(scopes: Sequence[ScopeSpans]) -> bytes:
    return KIND(resource_spans=[ResourceSpans(scope_spans=scopes)]).SerializeToString()


@pytest.mark.parametrize(
    "data",
    [
        KIND(resource_spans=[ResourceSpans()] * 60_000).SerializeToString(),
        request([ScopeSpans()] * 60_000),
        request([ScopeSpans(spans=[Span()])] * 30_000),
        request([ScopeSpans(spans=[Span()] * 60_000)]),
        request([ScopeSpans(spans=[Span(attributes=[KeyValue()] * 60_000)])]),
    ],
    ids=["resources", "scopes", "scopes with a span", "spans", "attributes"],
)
def test_many_tiny_items_are_not_worked_on_in_the_loop(data: bytes) -> None:
    """A few hundred bytes of gzip may hold them, and half a second of work."""
    assert len(data) <= SMALL_BYTES
    assert not waits_in_the_loop(KIND, data)


@pytest.mark.parametrize("part", [b"{},", b"[],", b"1,"])
def test_many_tiny_items_in_json_are_not_worked_on_in_the_loop(part: bytes) -> None:
    """JSON takes longer still."""
    data = b'{"resourceSpans":[' + part * (100_000 // len(part)) + b"{}]}"
    assert len(data) <= SMALL_BYTES
    assert not waits_in_the_loop(None, data)


def test_what_applications_send_is_worked_on_at_once() -> None:
    """A thread would take longer to begin than the work takes."""
    spans = [
        span
        for number in range(1, 6)
        for span in rag_trace(number, question="How long?", answer="24 months. " * 20, passages=["A warranty. " * 50])
    ]
    message = request_of(spans)
    assert waits_in_the_loop(KIND, message.SerializeToString())
    assert waits_in_the_loop(None, to_otlp_json(message))


@pytest.fixture
def turns() -> Iterator[Turns]:
    turns = Turns()
    yield turns
    turns.close()


async def take_large(turns: Turns, data: bytes = b"", limits: ItemLimits | None = None) -> Message:
    """Check a request as if it were large; return what is kept of it."""
    work = partial(check_request, TRACES, PROTOBUF, data, limits or ItemLimits(), has_tenant=False)
    checked = await turns.take(MEDIUM_BYTES + 1, work)
    (part,) = checked.parts
    return KIND.FromString(data if part.payload is None else part.payload)


@pytest.mark.parametrize(
    ("data", "items", "refusal"),
    [(b"\xff", 10, Undecodable), (request([ScopeSpans(spans=[Span()] * 20)]), 10, TooManyItems)],
)
def test_large_requests_are_refused_as_small_ones_are(
    turns: Turns, data: bytes, items: int, refusal: type[RequestError]
) -> None:
    """The refusal comes back from another process with its answer for the client, and its label for the counter."""
    with pytest.raises(refusal) as caught:
        asyncio.run(take_large(turns, data, ItemLimits(items=items)))
    assert (caught.value.reason, bool(caught.value.status().details)) == (refusal.reason, True)


def test_a_large_request_that_kills_its_process_harms_no_other(turns: Turns) -> None:
    """As the kernel does when memory is short: that sender tries again, and the next large request is read."""
    sent = request([ScopeSpans(spans=rag_trace(1, question="?", answer="!", passages=[]))])

    async def run() -> Message:
        assert await turns.take(MEDIUM_BYTES + 1, os.getpid) != os.getpid()
        with pytest.raises(Unavailable, match="try again"):
            await turns.take(MEDIUM_BYTES + 1, partial(signal.raise_signal, signal.SIGKILL))
        return await take_large(turns, sent)

    assert asyncio.run(run()).SerializeToString() == sent


def test_a_large_request_does_not_hold_up_the_end(turns: Turns) -> None:
    """The process for it is killed, and its sender tries again."""

    async def run() -> None:
        await turns.take(MEDIUM_BYTES + 1, os.getpid)  # it has begun
        waiting = asyncio.create_task(turns.take(MEDIUM_BYTES + 1, partial(time.sleep, 60)))
        await asyncio.sleep(0)
        turns.close()
        with pytest.raises(Unavailable, match="try again"):
            await waiting

    began = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - began < 30
