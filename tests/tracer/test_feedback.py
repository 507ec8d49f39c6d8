"""`feedback`: to a real door from any process, and never at the app's expense."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import qualitrace
from qualitrace.sender import QUEUE_SIZE, FeedbackSender
from qualitrace_collector.feedback import PersonFeedback
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


def kept(door: Receiver) -> list[PersonFeedback]:
    return [PersonFeedback.model_validate_json(payload) for payload in door.payloads()]


def test_another_process_gives_feedback_without_init(programs: Any, door: Receiver) -> None:
    """Endpoint and token come from the environment, and exit sends what is queued."""
    variables = {"QUALITRACE_ENDPOINT": f"http://{door.http}", "QUALITRACE_HEADERS": "Authorization=Bearer%20t0ken"}
    done = programs.run(GIVEN, **variables)
    assert (done.code, done.errors) == (0, "")
    (one,) = kept(door)
    assert (one.trace_id, one.name, one.value, one.comment) == (TRACE, "thumb", False, "Wrong.")
    assert (one.source, one.user) == ("user", "ada")


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
    """A refused token, a value that is none, and one that JSON cannot hold: told, not raised; the next is sent."""
    monkeypatch.setenv("QUALITRACE_ENDPOINT", f"http://{door.http}")
    monkeypatch.setenv("QUALITRACE_HEADERS", "Authorization=Bearer%20t0ken")
    for value in (float("nan"), object(), ["list"]):
        qualitrace.feedback(TRACE, "thumb", value)  # type: ignore[arg-type]
    qualitrace.feedback(TRACE, "thumb", 1)
    assert qualitrace.flush(20)
    qualitrace.shutdown()
    assert [one.value for one in kept(door)] == [1]
    assert "feedback is refused: 400" in caplog.text


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
