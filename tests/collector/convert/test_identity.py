"""Session and user of a trace are found wherever they are named, and a server's resource does not name them."""

from typing import Any

import pytest
from mlflow.entities import Span as MlflowSpan
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.convert import convert
from qualitrace_collector.piece import SpanRecord
from support.otlp import attributes, chat_span, span
from support.pieces import piece_of

MINE = {"service.name": "cli", "session.id": "s1", "user.id": "u1"}


def identity_of(
    resource: dict[str, Any], *spans: Span, others: tuple[SpanRecord, ...] = (), root_seen: bool = True
) -> tuple[Any, Any]:
    """Return session and user of the trace of these spans, all of one resource but for `others`."""
    named = Resource(attributes=attributes(resource))
    records = (SpanRecord(item, named, InstrumentationScope(name="test")) for item in spans)
    root: MlflowSpan = convert(piece_of(*records, *others, whole=root_seen), "shop").spans[0]
    return root.get_attribute("session.id"), root.get_attribute("user.id")


def call(number: int = 1, parent: int = 0, **values: Any) -> Span:
    return chat_span(1, number, parent, question="Why?", answer="So.", **values)


@pytest.mark.parametrize(
    "resource",
    [
        MINE,
        {"langfuse.session.id": "s1", "langfuse.user.id": "u1"},
        {"mlflow.trace.session": "s1", "enduser.id": "u1"},
        {"session.id": "s1", "user.id": "u1", "process.command_line": "python celery_report.py"},
    ],
)
def test_a_programs_resource_names_session_and_user(resource: dict[str, Any]):
    """A command-line tool names them in OTEL_RESOURCE_ATTRIBUTES, under any of the names that spans have."""
    assert identity_of(resource, call()) == ("s1", "u1")


def test_a_span_goes_before_the_resource():
    """What a call names is nearer to it; the rest is still the resource's."""
    assert identity_of(MINE, span(1, 1), call(2, 1, session__id="s2")) == ("s2", "u1")


@pytest.mark.parametrize("kind", [Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER])
@pytest.mark.parametrize("number", [1, 2])
def test_who_serves_requests_has_no_session_in_its_resource(kind: Any, number: int):
    """The resource is the same for all whom a server serves: one session for all of them would be none."""
    spans = [span(1, 1), call(2, 1)]
    spans[number - 1].MergeFrom(Span(kind=kind))
    assert identity_of(MINE, *spans) == (None, None)


@pytest.mark.parametrize(
    ("resource", "root"),
    [
        ({}, {"http__request__method": "POST"}),
        ({}, {"http__route": "/ask"}),
        ({"webengine.name": "Tomcat"}, {}),
        ({"faas.name": "ask"}, {}),
        ({"process.command_line": "/usr/bin/python -m uvicorn app:app"}, {}),
    ],
)
def test_a_server_is_known_by_its_name_and_its_requests(resource: dict[str, Any], root: dict[str, Any]):
    """Spans need not have a kind."""
    assert identity_of(MINE | resource, span(1, 1, **root), call(2, 1)) == (None, None)


def test_a_request_of_the_tools_own_makes_it_no_server():
    """A tool whose outermost span is a request that it sends is still one session."""
    root = span(1, 1, http__request__method="POST")
    root.kind = Span.SPAN_KIND_CLIENT
    assert identity_of(MINE, root, call(2, 1)) == ("s1", "u1")


def test_a_server_that_a_tool_calls_does_not_make_the_tool_one():
    """The trace goes on in another service, whose resource is another; its session is not the trace's."""
    answered = call(2, 1)
    answered.kind = Span.SPAN_KIND_SERVER
    server = Resource(attributes=attributes({"service.name": "api", "session.id": "s9"}))
    others = (SpanRecord(answered, server, InstrumentationScope(name="test")),)
    assert identity_of(MINE, span(1, 1), others=others) == ("s1", "u1")


@pytest.mark.parametrize(("given", "expected"), [(12345, "12345"), (0, "0"), (12345.0, "12345"), (1.5, "1.5")])
@pytest.mark.parametrize("where", [1, 2])
def test_an_id_may_be_a_number(given: float, expected: str, where: int):
    """Many ids are numbers in databases, and floats in JavaScript; MLflow takes text."""
    values: dict[int, dict[str, Any]] = {where: {"session__id": given, "user__id": given}}
    assert identity_of({}, span(1, 1, **values.get(1, {})), call(2, 1, **values.get(2, {}))) == (expected, expected)


def test_a_yes_or_no_is_no_id():
    """A boolean under the name of an id is nobody's."""
    assert identity_of(MINE, span(1, 1), call(2, 1, enduser__id=True)) == ("s1", "u1")


def test_an_endless_id_of_a_resource_is_cut():
    """MLflow would refuse the whole trace for it."""
    assert identity_of({"session.id": "s" * 300}, call())[0] == "s" * 250


def test_an_unfinished_trace_waits_for_its_root():
    """Only the root shows whether it is a server's, and what MLflow once took for a session stays."""
    assert identity_of(MINE, call(2, 1), root_seen=False) == (None, None)
