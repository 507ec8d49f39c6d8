"""`feedback`: to a real door from any process, and never at the app's expense."""

import json
import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy
import pytest
import trustme

import qualitrace
from qualitrace.feedback import QUEUE_SIZE, FeedbackSender
from qualitrace.testing import record_spans
from qualitrace_collector.person_feedback import PersonFeedback
from support.listening import listening
from support.receiving import Receiver, receive_config, receiving

TRACE = "0123456789abcdef0123456789abcdef"
TOKEN = {"tokens": [{"token": "t0ken"}]}
GIVEN = f"""
import qualitrace
qualitrace.feedback("{TRACE}", "thumb", False, "Wrong.", user="ada")
"""


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Receiver]:
    """A receiver that wants a token."""
    with receiving(receive_config(tmp_path, otlp=TOKEN)) as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def every_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let through more than one warning a minute."""
    monkeypatch.setattr(logging.getLogger("qualitrace.feedback"), "filters", [])


@contextmanager
def redirecting(status: int, place: str) -> Iterator[str]:
    """Serve an address that sends everybody on to `place`."""

    class Moved(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("Location", place)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with listening(Moved) as url:
        yield url


def kept(door: Receiver) -> list[PersonFeedback]:
    return [PersonFeedback.model_validate_json(payload) for payload in door.payloads()]


def test_feedback_is_redacted_but_for_the_trace(programs: Any, door: Receiver) -> None:
    """Name, value, comment and user; an id becomes a digest, the same for the same opinion."""
    variables = {"QUALITRACE_ENDPOINT": f"http://{door.http}", "QUALITRACE_HEADERS": "Authorization=Bearer%20t0ken"}
    key = "ghp_" + "a1" * 18
    call = f"""qualitrace.feedback("{TRACE}", "of ada@b.de", "x {key}", "Ask ada@b.de", user="ada@b.de", feedback_id="ada@b.de")"""
    done = programs.run(f"import qualitrace\n{call}\n{call}", QUALITRACE_REDACT="email", **variables)
    assert (done.code, done.errors) == (0, "")
    one, other = kept(door)
    assert (one.trace_id, one.name, one.value) == (TRACE, "of [email]", "x [secret]")
    assert (one.comment, one.user) == ("Ask [email]", "[email]")
    assert len(one.id) == 32
    assert one.id == other.id


def test_another_process_gives_feedback_without_init(programs: Any, door: Receiver) -> None:
    """Endpoint and token come from the environment, and exit sends what is queued."""
    variables = {"QUALITRACE_ENDPOINT": f"http://{door.http}", "QUALITRACE_HEADERS": "Authorization=Bearer%20t0ken"}
    done = programs.run(GIVEN, **variables)
    assert (done.code, done.errors) == (0, "")
    (one,) = kept(door)
    assert (one.trace_id, one.name, one.value, one.comment) == (TRACE, "thumb", False, "Wrong.")
    assert (one.source, one.user) == ("user", "ada")


def test_feedback_goes_with_the_exporters_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A door with a certificate of its own CA, and one asked of the client, takes it; without them the log says why."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name in ("server", "client"):
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}.pem")
    authority, server, client = (str(tmp_path / f"{name}.pem") for name in ("ca", "server", "client"))
    tls = {"cert_file": server, "key_file": server, "client_ca_file": authority}
    with receiving(receive_config(tmp_path, otlp={"tls": tls})) as door:

        def give(name: str) -> None:
            sender = FeedbackSender(f"https://{door.http}/v1/feedback", {}, 20)
            sender.put({"trace_id": TRACE, "name": name, "value": True, "comment": None})
            sender.close(60)

        give("stranger")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", authority)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", client)
        give("thumb")
        assert [one.name for one in kept(door)] == ["thumb"]
    assert "does not take it: <urlopen error [SSL: CERTIFICATE_VERIFY_FAILED]" in caplog.text


def test_the_app_gives_feedback_by_the_settings_of_init(door: Receiver) -> None:
    """An expert's label, flushed."""
    qualitrace.init(endpoint=f"http://{door.http}", headers={"Authorization": "Bearer t0ken"}, instrument=())
    qualitrace.feedback(TRACE, "groundedness", "fail", source="expert", feedback_id="f1")
    assert qualitrace.flush(20)
    qualitrace.shutdown()
    assert [(one.source, one.value, one.id) for one in kept(door)] == [("expert", "fail", "f1")]


def test_a_process_ends_though_the_collector_hangs(programs: Any, collector: Any) -> None:
    """Long before its requests time out (6 of 50 s, which the test would not wait for)."""
    collector.answers.clear()
    done = programs.run(GIVEN, QUALITRACE_ENDPOINT=collector.endpoint, QUALITRACE_EXPORT_TIMEOUT="50")
    assert done.code == 0
    assert "Traceback" not in done.errors


def test_feedback_that_cannot_be_taken_never_reaches_the_app(
    door: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused token, a value that is none, and one that JSON cannot hold are logged, not raised; the next is sent."""
    monkeypatch.setenv("QUALITRACE_ENDPOINT", f"http://{door.http}")
    monkeypatch.setenv("QUALITRACE_HEADERS", "Authorization=Bearer%20t0ken")
    for value in (float("nan"), object(), ["list"]):
        qualitrace.feedback(TRACE, "thumb", value)  # type: ignore[arg-type]
    assert caplog.text.count("feedback 'thumb' is dropped: its value is") == 3
    qualitrace.feedback("no id", "thumb", 1)
    qualitrace.feedback(TRACE, "thumb", 1)
    assert qualitrace.flush(20)
    qualitrace.shutdown()
    assert [one.value for one in kept(door)] == [1]
    assert "feedback is refused: 400" in caplog.text


def test_a_forked_worker_gives_feedback_of_its_own(programs: Any, door: Receiver) -> None:
    """As under a server that forks after its first feedback: the child sends, and nothing of the parent's twice."""
    code = f"""
    import os, qualitrace
    qualitrace.feedback("{TRACE}", "thumb", True, feedback_id="parent")
    child = os.fork()
    if child == 0:
        qualitrace.feedback("{TRACE}", "thumb", True, feedback_id="child")
        os._exit(not qualitrace.flush(20))
    _, status = os.waitpid(child, 0)
    assert status == 0 and qualitrace.flush(20)
    """
    variables = {"QUALITRACE_ENDPOINT": f"http://{door.http}", "QUALITRACE_HEADERS": "Authorization=Bearer%20t0ken"}
    done = programs.run(code, **variables)
    assert done.code == 0, done.errors
    assert sorted(one.id for one in kept(door)) == ["child", "parent"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_the_token_nowhere(collector: Any, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """The other host is never asked, and the warning names it."""
    with redirecting(status, collector.endpoint) as url:
        sender = FeedbackSender(url, {"Authorization": "Bearer t0ken"}, 20)
        sender.put({"comment": None, "value": True})
        assert sender.flush(20)
        sender.close(20)
    assert collector.paths == []
    assert f"feedback is refused: {status} (moved to {collector.endpoint}" in caplog.text


def test_nothing_is_taken_after_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """What comes after `close` is dropped and logged, and the thread ends."""
    before = set(threading.enumerate())
    sender = FeedbackSender("http://127.0.0.1:9", {}, 1)
    (thread,) = set(threading.enumerate()) - before
    sender.close(20)
    sender.put({})
    assert "feedback is dropped: tracing was shut down" in caplog.text
    assert sender.flush(0)
    thread.join(20)
    assert not thread.is_alive()


def test_nothing_is_sent_when_tracing_is_off(door: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """`enabled=False` turns feedback off, too."""
    qualitrace.init(enabled=False, endpoint=f"http://{door.http}", headers={"Authorization": "Bearer t0ken"})
    qualitrace.feedback(TRACE, "thumb", True)
    assert qualitrace.flush(20)
    qualitrace.shutdown()
    assert kept(door) == []


def test_a_full_queue_drops_and_tells(caplog: pytest.LogCaptureFixture) -> None:
    """The app's thread does not wait for room."""
    sender, entered, release = FeedbackSender("http://127.0.0.1:9", {}, 1), threading.Event(), threading.Event()
    sender._send = lambda item: (entered.set(), release.wait(60))  # type: ignore[method-assign]
    with caplog.at_level(logging.WARNING, "qualitrace.feedback"):
        sender.put({})
        assert entered.wait(60)
        for _ in range(QUEUE_SIZE + 1):
            sender.put({})
    assert f"feedback is dropped: {QUEUE_SIZE} wait" in caplog.text
    assert not sender.flush(0)
    release.set()


class Verdict(Enum):
    GOOD = "pass"


def test_values_and_ids_of_other_types() -> None:
    """Numbers of NumPy and members of enumerations are values, and an id may be a UUID."""
    ids = uuid.uuid4(), uuid.uuid4()
    with record_spans() as spans:
        for value in (numpy.float32(0.5), numpy.int64(1), numpy.bool_(False), Verdict.GOOD):
            qualitrace.feedback(TRACE, "thumb", value, user=ids[0], feedback_id=ids[1])  # type: ignore[arg-type]
    values = [item["value"] for item in spans.feedback]
    assert json.dumps(values) == '[0.5, 1, false, "pass"]'
    assert {(item["user"], item["id"]) for item in spans.feedback} == {(str(ids[0]), str(ids[1]))}
