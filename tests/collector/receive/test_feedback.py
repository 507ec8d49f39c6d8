"""The feedback door: what is durable before 200, what is refused and why."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_collector.person_feedback import PersonFeedback
from support import plain_http
from support.receiving import Receiver

TRACE = "0123456789abcdef0123456789abcdef"
THUMB = {"trace_id": TRACE, "name": "thumb", "value": True}
TOKENS = [{"token": "t0ken-of-acme", "tenant": "acme"}, {"token": "t0ken-of-globex", "tenant": "globex"}]


def give(receiver: Receiver, body: Any, token: str = "", **headers: str) -> httpx.Response:
    """Post feedback; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} | headers | ({"Authorization": f"Bearer {token}"} if token else {})
    return plain_http.post(f"http://{receiver.http}/v1/feedback", content=content, headers=sent, timeout=20)


def test_feedback_is_in_the_journal_before_it_is_answered(receiver: Receiver):
    """The entry holds what was said, and the answer names its id."""
    answer = give(receiver, THUMB | {"comment": "Nice.", "user": "ada"})
    assert answer.status_code == 200
    (entry,) = receiver.journal.read(0, 10, 1 << 20)
    kept = PersonFeedback.model_validate_json(entry.payload)
    assert (entry.signal, kept.value, kept.comment, kept.user, kept.source) == (
        "feedback",
        True,
        "Nice.",
        "ada",
        "user",
    )
    assert answer.json() == {"id": kept.id}
    assert receiver.journal.counters()["feedback_received", "user"] == 1


WORD = "must be text of 1 to 200 characters, none of them NUL"
VALUE = f"value: must be true or false, a number, or {WORD.removeprefix('must be ')}"
COMMENT = "comment: must be text of at most 10,000 characters, none of them NUL"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trace_id": "xyz"}, "trace_id: must be 32 hexadecimal digits, with or without 'tr-' before them"),
        ({"trace_id": "0" * 32}, "trace_id: must not be all zero"),
        ({"name": ""}, f"name: {WORD}"),
        ({"value": None}, VALUE),
        ({"value": ["a"]}, VALUE),
        ({"comment": "x" * 10_001}, COMMENT),
        ({"source": "robot"}, "source: must be 'user' or 'expert'"),
        ({"name": "thumb\0"}, f"name: {WORD}"),
        ({"comment": "\0"}, COMMENT),
        ({"colour": "red"}, "colour: unknown field; known are trace_id, name, value, comment, source, user, id"),
        ({"user": 7, "source": None}, f"source: must be 'user' or 'expert'; user: {WORD}"),
    ],
)
def test_bad_feedback_is_refused_by_the_name_of_its_field(receiver: Receiver, change: dict[str, Any], message: str):
    """400 says what belongs there, once, and nothing is kept."""
    answer = give(receiver, THUMB | change)
    assert answer.status_code == 400
    assert answer.json()["message"].endswith(message)
    assert answer.json()["message"].count("must") == message.count("must")
    assert receiver.payloads() == []


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"", 400), (b'"' + b"x" * 70_000, 413)])
def test_what_is_no_feedback_is_refused(receiver: Receiver, body: bytes, status: int):
    """Broken JSON, no body, and one that is too large."""
    assert give(receiver, body).status_code == status


def test_a_body_without_the_fields_is_told_which(receiver: Receiver):
    """What is missing, each with what it must be, and of no object which fields it needs."""
    assert "name: is missing; it must be text" in give(receiver, {"trace_id": TRACE}).json()["message"]
    assert "body: must be a JSON object with trace_id, name and value" in give(receiver, [THUMB]).json()["message"]


def test_a_token_is_needed_where_there_are_tokens(start_receiver: Callable[..., Receiver]):
    """401 shows how to send one."""
    answer = give(start_receiver(otlp={"tokens": TOKENS}), THUMB, "wrong")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_a_tenant_labels_its_own_traces_alone(start_receiver: Callable[..., Receiver]):
    """The trace is of the tenant that spoke of it first; another gets 403."""
    receiver = start_receiver(otlp={"tokens": TOKENS})
    assert give(receiver, THUMB, "t0ken-of-acme").status_code == 200
    assert give(receiver, THUMB, "t0ken-of-globex").status_code == 403
    assert [entry.tenant for entry in receiver.journal.read(0, 10, 1 << 20)] == ["acme"]


def test_a_sender_above_its_rate_is_told_when_to_come_back(start_receiver: Callable[..., Receiver]):
    """429 with Retry-After; the other sender's rate is its own."""
    receiver = start_receiver(otlp={"tokens": TOKENS, "feedback_rate": "2/day"})
    statuses = [give(receiver, THUMB, "t0ken-of-acme").status_code for _ in range(2)]
    refused = give(receiver, THUMB, "t0ken-of-acme")
    assert (statuses, refused.status_code) == ([200, 200], 429)
    assert int(refused.headers["Retry-After"]) >= 1
    other = THUMB | {"trace_id": "f" * 32}
    assert give(receiver, other, "t0ken-of-globex").status_code == 200


def test_an_idempotency_key_is_the_id_of_a_body_without_one(receiver: Receiver):
    """The body's own id counts first."""
    assert give(receiver, THUMB, **{"Idempotency-Key": "k1"}).json() == {"id": "k1"}
    assert give(receiver, THUMB | {"id": "own"}, **{"Idempotency-Key": "k1"}).json() == {"id": "own"}


def test_an_idempotency_key_too_long_to_read_back_is_refused(receiver: Receiver):
    """In the journal it would stop everything that comes after it."""
    answer = give(receiver, THUMB, **{"Idempotency-Key": "k" * 201})
    assert (answer.status_code, "id: " in answer.json()["message"]) == (400, True)
    assert receiver.payloads() == []


def test_without_tokens_a_made_up_one_gives_no_rate_of_its_own(start_receiver: Callable[..., Receiver]):
    """The sender is the address then."""
    receiver = start_receiver(otlp={"feedback_rate": "2/day"})
    assert [give(receiver, THUMB, f"made-up-{i}").status_code for i in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("header", [{"Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}])
def test_only_plain_json_is_taken(receiver: Receiver, header: dict[str, str]):
    """415: what a form of a foreign web page can post is not feedback."""
    assert give(receiver, THUMB, **header).status_code == 415
    assert receiver.payloads() == []


@given(
    st.binary() | st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_body_is_read_or_refused(body: bytes):
    """No body raises anything but ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        PersonFeedback.parse(body)


@given(
    st.builds(
        PersonFeedback,
        trace_id=st.just(TRACE),
        name=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=200).filter(str.strip),
        value=st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.just("pass"),
        comment=st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=100),
        source=st.sampled_from(["user", "expert"]),
    )
)
def test_feedback_is_read_back_as_it_was_written(feedback: PersonFeedback):
    """Booleans stay booleans, numbers numbers, and its assessment's id fits MLflow."""
    back = PersonFeedback.parse(feedback.model_dump_json().encode())
    assert (back, type(back.value)) == (feedback, type(feedback.value))
    assert len(back.assessment_id) <= 50
