"""Baggage of a request puts its spans into the caller's session; a stranger's baggage does no harm."""

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context, attach, detach
from opentelemetry.propagate import extract

import qualitrace
from qualitrace.propagation.baggage import KEYS, MAX_HEADER, MAX_VALUE, joined, read, written


def is_name(text: str) -> bool:
    return text.isprintable() and not text.isspace()


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"


def spans_of_request(tracing: Any, baggage: str | list[str]) -> Mapping[str, Any]:
    """Return the attributes of a span in a request with this header, or these headers."""
    token = attach(extract({"traceparent": TRACEPARENT, "baggage": baggage}, Context()))
    with qualitrace.span("step"):
        pass
    detach(token)
    return tracing.flushed()["step"].attributes


def test_session_of_the_caller(tracing: Any) -> None:
    """All four members, percent-encoded and with properties, become attributes."""
    attributes = spans_of_request(
        tracing,
        "session.id=s%2D1;ttl=5 , user.id = J%C3%BCrgen%20M;a;b=c, other=x,"
        "qualitrace.prompt.version=v2,deployment.environment.name=staging",
    )
    expected = {
        "session.id": "s-1",
        "gen_ai.conversation.id": "s-1",
        "user.id": "Jürgen M",
        "qualitrace.prompt.version": "v2",
        "deployment.environment.name": "staging",
    }
    assert expected.items() <= attributes.items()
    assert "other" not in attributes


def test_several_headers(tracing: Any) -> None:
    """Members may come in several header lines, as HTTP allows."""
    attributes = spans_of_request(tracing, ["session.id=s1", "user.id=ada"])
    assert (attributes["session.id"], attributes["user.id"]) == ("s1", "ada")


def test_the_apps_session_comes_first(tracing: Any) -> None:
    """A session that the app sets wins over the caller's, and what it leaves open stays the caller's."""
    token = attach(extract({"baggage": "session.id=theirs,user.id=theirs"}, Context()))
    with qualitrace.session(user="ada"), qualitrace.span("step"):
        pass
    detach(token)
    attributes = tracing.flushed()["step"].attributes
    assert (attributes["session.id"], attributes["user.id"]) == ("theirs", "ada")


@pytest.mark.parametrize(
    "value",
    ["", "%20", "a%0Ab", "a%00", "a%1B[31m", "%E2%80%AEa", "%FF", "%C3", "x" * (MAX_VALUE + 1), "%F0%9F" * 9000],
)
def test_what_is_no_name_is_ignored(tracing: Any, value: str) -> None:
    """Nothing, control characters, bytes that are not text, and long texts become no attribute."""
    assert "user.id" not in spans_of_request(tracing, f"user.id={value}")


def test_a_flood_is_ignored(tracing: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A header beyond W3C's limit brings nothing, costs one line in the log, and that not again at once."""
    caplog.set_level(logging.WARNING)
    for _ in range(5):
        attributes = spans_of_request(tracing, "session.id=s1," + ",".join(f"k{i}={'v' * 90}" for i in range(100)))
        assert "session.id" not in attributes
    assert len([record for record in caplog.records if "baggage" in record.name]) <= 1


@given(st.lists(st.text(max_size=300), max_size=5))
def test_any_header(headers: list[str]) -> None:
    """Whatever comes, at most the four members come out, each short and printable."""
    for key, value in read(headers).items():
        assert key in KEYS
        assert 0 < len(value) <= MAX_VALUE
        assert value.isprintable()


@given(st.dictionaries(st.sampled_from(KEYS), st.text(min_size=1, max_size=MAX_VALUE).filter(is_name)))
def test_what_is_written_is_read(attributes: dict[str, str]) -> None:
    """A value arrives as it was, in a header that HTTP can carry, if it is a name at all."""
    header = joined("", written(attributes))
    assert header.isascii()
    assert header.isprintable()
    assert len(header) <= MAX_HEADER
    short = {key: value for key, value in attributes.items() if len(quote(value)) < MAX_HEADER // 5}
    assert short.items() <= read([header]).items() <= attributes.items()


def test_an_apps_own_baggage_stays() -> None:
    """Members are added to a header of the app's, but for keys that it has, and not beyond the limit."""
    assert joined("tenant=a, user.id=theirs", written({"user.id": "ada", "session.id": "s1"})) == (
        "tenant=a, user.id=theirs,session.id=s1"
    )
    full = "k=" + "v" * (MAX_HEADER - 5)
    assert joined(full, written({"session.id": "s1"})) == full
