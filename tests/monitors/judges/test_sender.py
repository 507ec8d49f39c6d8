"""What providers may send to a judge: bounded in size and time, never to another host, and sorted by what helps."""

import contextlib
import gzip
import json
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.build import build_judge
from qualitrace_monitors.judges.contract import JudgeError, Score, TransientJudgeError
from qualitrace_monitors.judges.llm.sender import LARGEST_BODY
from qualitrace_monitors.judges.settings import JudgeConfig
from support.waiting import eventually

VERDICT = json.dumps({"evidence": "e", "reason": "r", "score": 0.9, "verdict": "pass"})
COMPLETION = json.dumps({"choices": [{"message": {"content": VERDICT}}]}).encode()
SAMPLE = Sample(outputs="Hello.")
LONG, SHORT = 30.0, 0.5  # seconds that a call may take

Send = Callable[[bytes], None]


class Provider:
    """A server that writes, byte by byte, what the test says, and counts its callers and what they took."""

    def __init__(self) -> None:
        self.answer: Callable[[Send], object] = lambda send: send(good("keep-alive" if self.keeps else "close"))
        self.calls = self.sent = self.connections = 0
        self.keeps = False  # connections, for further calls
        self.stopped = threading.Event()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def says(self, *parts: bytes) -> None:
        """Answer with these bytes, then close the connection."""
        self.answer = lambda send: any(map(send, parts))

    def close(self) -> None:
        self.stopped.set()
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def _serve(self) -> None:
        while not self.stopped.is_set():
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        self.connections += 1

        def send(part: bytes) -> None:
            connection.sendall(part)
            self.sent += len(part)

        with connection, contextlib.suppress(OSError):  # the caller hangs up when it has enough
            while self._received(connection):
                self.calls += 1
                self.answer(send)
                if not self.keeps:
                    return

    def _received(self, connection: socket.socket) -> bool:
        """Read a request; return whether there was one."""
        with connection.makefile("rb") as file:
            lines: list[bytes] = []
            while (line := file.readline()).strip():
                lines.append(line)
            length = next((int(line[15:]) for line in lines if line.lower().startswith(b"content-length:")), 0)
            return bool(file.read(length))


@pytest.fixture
def provider() -> Iterator[Provider]:
    opened = Provider()
    yield opened
    opened.close()


@pytest.fixture(params=["openai:/m", "endpoints:/m", "bedrock:/m"])
def model(request: pytest.FixtureRequest) -> str:
    """Give a model of each kind of route."""
    return request.param


@pytest.fixture(params=[LONG])
def timeout(request: pytest.FixtureRequest) -> float:
    """Give the seconds that a call may take."""
    return request.param


@pytest.fixture
def ask(model: str, timeout: float, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Score]:
    """Judge an answer by the model."""
    monkeypatch.setenv("MLFLOW_DEPLOYMENTS_TARGET", provider.url)
    own: dict[str, Any] = {} if model == "endpoints:/m" else {"base_url": provider.url, "api_key": "k"}
    judge = build_judge(JudgeConfig(name="toxicity", model=model, timeout=timeout, **own))
    judge.score(SAMPLE)  # sets up the route, which imports MLflow
    provider.calls = provider.sent = 0
    return lambda: judge.score(SAMPLE)


one_route = pytest.mark.parametrize("model", ["openai:/m"])  # where routes make no difference
in_short = pytest.mark.parametrize("timeout", [SHORT])


def head(status: str = "200 OK", **headers: object) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode()


def good(connection: str) -> bytes:
    return head(content_length=len(COMPLETION), connection=connection) + COMPLETION


def chunk(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part)


def bomb(megabytes: int) -> bytes:
    squeezed = zlib.compressobj(wbits=31)
    return b"".join([*(squeezed.compress(bytes(1 << 20)) for _ in range(megabytes)), squeezed.flush()])


BLOCK = b" " * (1 << 20)
FLOODS = {
    "plain": [head(content_length=200 << 20), *[BLOCK] * 200],
    "until the end": [head(), *[BLOCK] * 200],
    "in chunks": [head(transfer_encoding="chunked"), *[chunk(BLOCK)] * 200],
    "a refusal": [head("503 Busy", content_length=200 << 20), *[BLOCK] * 200],
    "compressed": [head(content_encoding="gzip"), bomb(100)],
}


@pytest.mark.parametrize("flood", FLOODS)
def test_no_answer_takes_much_memory(provider: Provider, ask: Callable[[], Score], flood: str) -> None:
    """Of a hundred and more MB about 8 are read, however they come, and of a refusal its beginning; a refusal stays one."""
    provider.says(*FLOODS[flood])
    tracemalloc.start()
    with pytest.raises(JudgeError, match="HTTP 503" if flood == "a refusal" else "larger than 8 MiB") as caught:
        ask()
    assert isinstance(caught.value, TransientJudgeError) == (flood == "a refusal")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * LARGEST_BODY
    assert provider.sent < LARGEST_BODY + (16 << 20)  # the sockets' buffers hold some, too


def slowly(beginning: bytes, part: bytes) -> Callable[[Provider], Callable[[Send], object]]:
    def made(provider: Provider) -> Callable[[Send], None]:
        def answer(send: Send) -> None:
            send(beginning)
            while not provider.stopped.wait(SHORT / 10):
                send(part)

        return answer

    return made


@pytest.mark.slow
@in_short
@one_route
@pytest.mark.parametrize(
    "answer",
    [
        slowly(b"", b"H"),
        slowly(b"HTTP/1.1 200 OK\r\nx: ", b"y"),
        slowly(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
        slowly(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        slowly(head(content_length=100_000), b" "),
        slowly(head(transfer_encoding="chunked"), chunk(b" ")),
        slowly(head("503 Busy", content_length=100_000), b" "),
    ],
)
def test_a_call_ends_in_time_however_slowly_bytes_come(
    provider: Provider, ask: Callable[[], Score], answer: Callable[[Provider], Callable[[Send], object]]
) -> None:
    """`timeout` is that of the whole call: in the status, the headers or the body."""
    provider.answer = answer(provider)
    began = time.monotonic()
    with pytest.raises(TransientJudgeError, match="out of reach"):
        ask()
    assert time.monotonic() - began < LONG


@pytest.mark.slow
@pytest.mark.parametrize("timeout", [2 * SHORT])
@one_route
def test_a_kept_connection_has_the_time_of_each_call_anew(provider: Provider, ask: Callable[[], Score]) -> None:
    """The deadline of an earlier call does not end a later one."""

    provider.keeps = True
    provider.connections = 0
    for _ in range(3):
        ask()
        provider.stopped.wait(SHORT)
    assert (provider.calls, provider.connections) == (3, 1)


@one_route
@pytest.mark.parametrize("headers", [b"x: " + b"y" * 1_000_000, b"x: y\r\n" * 200_000])
def test_headers_without_end_are_refused(provider: Provider, ask: Callable[[], Score], headers: bytes) -> None:
    """Long ones and many."""
    provider.says(b"HTTP/1.1 200 OK\r\n", headers, b"\r\n\r\n{}")
    with pytest.raises(TransientJudgeError, match="out of reach"):
        ask()


@pytest.mark.parametrize(("status", "transient"), [(302, True), (308, False), (304, False)])
def test_a_redirect_to_nowhere_is_an_error_like_others(
    provider: Provider, ask: Callable[[], Score], status: int, transient: bool
) -> None:
    """A broken proxy may leave the address out."""
    provider.says(head(f"{status} Moved", content_length=0))
    with pytest.raises(JudgeError, match=f"HTTP {status}: .* sends callers to another place") as caught:
        ask()
    assert isinstance(caught.value, TransientJudgeError) == transient


@one_route
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_answer_that_is_compressed_unasked_is_read(
    provider: Provider, ask: Callable[[], Score], encoding: str
) -> None:
    """Some proxies compress whatever was asked for."""
    packed = gzip.compress(COMPLETION) if encoding == "gzip" else zlib.compress(COMPLETION)
    provider.says(head(content_encoding=encoding, content_length=len(packed)), packed)
    assert ask().value == 0.9


@pytest.mark.parametrize(
    ("status", "transient"), [(301, False), (302, True), (303, True), (307, True), (308, False), (300, False)]
)
def test_a_redirect_is_not_followed(provider: Provider, ask: Callable[[], Score], status: int, transient: bool) -> None:
    """Keys and texts go to the configured address alone; one that has moved for good names the setting, not secrets."""
    target = Provider()
    host = target.url.removeprefix("http://")
    try:
        location = f"http://user:pa55word@{host}/v1/new?token=s3cret#part"
        provider.says(head(f"{status} Moved", location=location, content_length=0))
        with pytest.raises(JudgeError) as caught:
            ask()
        assert target.calls == 0
    finally:
        target.close()
    message = str(caught.value)
    assert isinstance(caught.value, TransientJudgeError) == transient
    assert f"HTTP {status}" in message
    assert not [secret for secret in ("user", "pa55word", "s3cret") if secret in message]
    if status != 300:
        assert f"{target.url}/v1/new" in message
    if status in (301, 308):
        assert "set base_url" in message or "set MLFLOW_DEPLOYMENTS_TARGET" in message


PAGE = b"<!DOCTYPE html><html><title>Sign in</title></html>"


@one_route
@pytest.mark.parametrize(
    ("parts", "transient", "wanted"),
    [
        ([head(content_type="text/html"), PAGE], True, "is no JSON"),
        ([head(content_type="application/json"), PAGE], True, "is no JSON"),
        ([head(content_length=0)], True, "is no JSON"),
        ([head("204 No Content")], True, "is no JSON"),
        ([head(content_encoding="gzip"), b"no gzip"], True, "is not gzip"),
        ([head("511 Network Authentication Required"), PAGE], True, "HTTP 511"),
        ([head(content_length=500), COMPLETION], True, "out of reach"),
        ([head(transfer_encoding="chunked"), chunk(COMPLETION)], True, "out of reach"),
        ([head(), COMPLETION[:20]], True, "is no JSON"),
        ([b"HTTP/1.1 200 "], True, "out of reach"),
        ([b""], True, "out of reach"),
        ([b"SSH-2.0-OpenSSH\r\n"], True, "out of reach"),
        ([head(), b'{"id": 1}'], False, "no chat completion"),
        *(
            ([head(f"{status} No"), b"{}"], True, f"HTTP {status}")
            for status in (408, 409, 425, 429, 500, 502, 503, 529)
        ),
        *(([head(f"{status} No"), b"{}"], False, f"HTTP {status}") for status in (400, 401, 402, 403, 404, 413, 422)),
    ],
)
def test_what_can_pass_is_tried_again_and_the_rest_is_not(
    provider: Provider, ask: Callable[[], Score], parts: list[bytes], transient: bool, wanted: str
) -> None:
    """Pages of portals, broken answers, limits and failures pass; refusals and other protocols do not."""
    provider.says(*parts)
    with pytest.raises(JudgeError, match=wanted) as caught:
        ask()
    assert isinstance(caught.value, TransientJudgeError) == transient
    eventually(lambda: provider.calls == 1)
