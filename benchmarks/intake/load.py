"""A closed loop of connections that post prepared bodies to /v1/traces and time the answers.

On the bare transport, because an HTTP client library spends more on a request than the servers do, and
would be what is measured.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import httptools

ANSWER_SECONDS = 120.0
_HEAD = (
    "POST /v1/traces HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-protobuf\r\n"
    "x-mlflow-experiment-id: 0\r\nContent-Length: {length}\r\n\r\n"
)


@dataclass
class LoadResult:
    """What came back.

    Attributes:
        latencies: seconds from a request's first byte sent to its answer's last received, of those answered 200.
        failures: requests answered otherwise or not at all, by status code or reason.
        seconds: from the first request to the last answer.
    """

    latencies: list[float] = field(default_factory=list[float])
    failures: Counter[str] = field(default_factory=Counter[str])
    seconds: float = 0.0


class LoadError(Exception):
    """A server did not answer at all."""


@dataclass
class _Run:
    """What the connections of one run share: where requests come from, when to stop, what came back."""

    address: str
    next_body: Callable[[], bytes | None]
    deadline: float
    result: LoadResult = field(default_factory=LoadResult)

    def next_request(self) -> bytes | None:
        body = None if time.perf_counter() >= self.deadline else self.next_body()
        if body is None:
            return None
        return _HEAD.format(address=self.address, length=len(body)).encode() + body


class _Connection(asyncio.Protocol):
    """One connection: sends a request as soon as the one before is answered. httptools calls on_message_complete."""

    def __init__(self, run: _Run) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._run = run
        self._sent: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._sent is not None:
            self._run.result.failures["connection lost"] += 1
        self._finish()

    def on_message_complete(self) -> None:
        assert self._sent is not None
        status = self._parser.get_status_code()
        if status == 200:
            self._run.result.latencies.append(time.perf_counter() - self._sent)
        else:
            self._run.result.failures[str(status)] += 1
        self._sent = None
        self._send()

    def _send(self) -> None:
        request = self._run.next_request()
        if request is None:
            self._transport.close()
            return
        self._parser = httptools.HttpResponseParser(self)
        self._sent = time.perf_counter()
        self._transport.write(request)

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


def run_load(address: str, next_body: Callable[[], bytes | None], *, connections: int, seconds: float) -> LoadResult:
    """Post bodies until `next_body` has no more or `seconds` are over; every request sent is waited for.

    Raises:
        LoadError: an answer, or a connection, took longer than two minutes.
    """
    return asyncio.run(_run_load(address, next_body, connections, seconds))


async def _run_load(
    address: str, next_body: Callable[[], bytes | None], connections: int, seconds: float
) -> LoadResult:
    host, port = address.split(":")
    started = time.perf_counter()
    run = _Run(address, next_body, started + seconds)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds + ANSWER_SECONDS):
            pairs = [
                await loop.create_connection(lambda: _Connection(run), host, int(port)) for _ in range(connections)
            ]
            await asyncio.gather(*(protocol.done for _, protocol in pairs))
    except (OSError, TimeoutError) as error:
        raise LoadError(f"{address}: no answer ({error or type(error).__name__}); see the server's log") from error
    run.result.seconds = time.perf_counter() - started
    return run.result
