"""What a span of the Model Context Protocol says, and whose span it is."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, get_tracer

import qualitrace
from qualitrace.mcp import client, server
from qualitrace.mcp.spans import CALL, READ, documents, record_result, request_span
from qualitrace.testing import record_spans

TEXT = {"type": "text", "text": "18 degrees"}


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ({"content": [TEXT, {"type": "text", "text": "sunny"}]}, "18 degrees\nsunny"),
        ({"content": [TEXT], "structuredContent": {"degrees": 18}}, "18 degrees"),
        ({"content": [], "structuredContent": {"degrees": 18}}, '{"degrees": 18}'),
        ({"content": [{"type": "image", "data": "aGk=", "mimeType": "image/png"}]}, "<image/png>"),
        ({"content": [{"type": "resource", "resource": {"uri": "faq://1", "text": "24 months"}}]}, "24 months"),
        ({"content": [{"type": "resource_link", "uri": "faq://1", "name": "FAQ"}]}, "<resource_link faq://1>"),
        ({"content": []}, ""),
        ({"resultType": "input_required"}, '{"resultType": "input_required"}'),
    ],
)
def test_a_result_is_what_people_read(tracing: Any, result: dict[str, Any], shown: str) -> None:
    """Texts are joined, media are named by their type, and a structure counts if there is no text."""
    with request_span(CALL, "get_weather", SpanKind.CLIENT, False) as span:
        record_result(span, result)
    assert tracing.flushed()["tools/call get_weather"].attributes["gen_ai.tool.call.result"] == shown


def test_a_tool_that_failed_fails_its_span(tracing: Any) -> None:
    """The call itself succeeded; the tool says what went wrong."""
    with request_span(CALL, "get_weather", SpanKind.CLIENT, False) as span:
        record_result(span, {"content": [{"type": "text", "text": "no such city"}], "isError": True})
    found = tracing.flushed()["tools/call get_weather"]
    assert (found.status, found.message, found.attributes["error.type"]) == (2, "no such city", "tool_error")


def test_what_is_read_from_a_resource_is_a_document(tracing: Any) -> None:
    """A judge takes it for a passage."""
    with request_span(READ, "faq://1", SpanKind.CLIENT, False) as span:
        span.set_outputs(documents({"contents": [{"uri": "faq://1", "text": "24 months"}]}))
    attributes = tracing.flushed()["resources/read"].attributes
    assert attributes["mcp.resource.uri"] == "faq://1"
    assert json.loads(attributes["gen_ai.retrieval.documents"]) == [{"content": "24 months", "id": "faq://1"}]


class Session:
    """Stands for the SDK's: both answer a call of a tool."""

    async def call_tool(self, name: str, arguments: dict[str, Any], *, meta: Any = None) -> Any:
        self.meta = meta
        return {"content": [TEXT]}


def call(session: Session, **more: Any) -> None:
    asyncio.run(client._call_tool(session.call_tool, session, ("get_weather", {"city": "Oslo"}), more))


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "get_weather"},
        {"openinference.span.kind": "TOOL", "tool.name": "weather_get_weather"},
        {"mcp.method.name": CALL},
    ],
)
def test_a_tool_that_a_framework_traces_is_one_span(tracing: Any, attributes: dict[str, str]) -> None:
    """The framework's span gets what it lacks; frameworks put the server's name in front."""
    with get_tracer("framework").start_as_current_span("tool", attributes=attributes):
        call(Session())
    spans = tracing.flushed()
    assert spans.keys() == {"tool"}
    assert spans["tool"].attributes["gen_ai.tool.call.result"] == "18 degrees"


def test_a_tool_that_calls_another_has_two_spans(tracing: Any) -> None:
    """The inner one is the call's, below the outer one, and the request carries it to the server."""
    session = Session()
    with qualitrace.span("plan_trip", kind="tool"):
        call(session, meta={"traceparent": "a framework's", "progressToken": 1})
    spans = tracing.flushed()
    inner, outer = spans["tools/call get_weather"], spans["plan_trip"]
    assert inner.parent_id == outer.span_id
    assert session.meta["progressToken"] == 1
    assert session.meta["traceparent"].split("-")[1:3] == [inner.trace_id, inner.span_id]


def serve(meta: dict[str, Any]) -> None:
    async def inner(request: Any) -> Any:
        return {"content": [TEXT]}

    request = SimpleNamespace(method=CALL, params={"name": "get_weather", "arguments": {"city": "Oslo"}}, meta=meta)
    asyncio.run(server._compose(lambda traced: traced, None, (inner,), {})(request))


def test_a_server_goes_on_with_the_clients_trace(tracing: Any) -> None:
    """Also where the transport's own span is current."""
    with get_tracer("web").start_as_current_span("POST /mcp", kind=SpanKind.SERVER):
        serve({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    found = tracing.flushed()["tools/call get_weather"]
    assert (found.trace_id, found.parent_id) == ("a" * 32, "b" * 16)
    assert json.loads(found.attributes["gen_ai.tool.call.arguments"]) == {"city": "Oslo"}


def test_the_sdks_span_of_a_served_request_is_completed(tracing: Any) -> None:
    """It is the client's child already."""
    attributes = {"mcp.method.name": CALL, "gen_ai.tool.name": "get_weather"}
    with get_tracer("mcp").start_as_current_span("served", kind=SpanKind.SERVER, attributes=attributes):
        serve({})
    spans = tracing.flushed()
    assert spans.keys() == {"served"}
    assert spans["served"].attributes["gen_ai.tool.call.result"] == "18 degrees"


@pytest.mark.parametrize("meta", [None, {"traceparent": "nonsense"}, {"traceparent": 7, "baggage": "=" * 9000}])
def test_a_client_that_sends_nonsense_is_served(tracing: Any, meta: Any) -> None:
    """The call is the root of a trace of its own."""
    serve(meta)
    assert tracing.flushed()["tools/call get_weather"].parent_id == ""


@pytest.mark.parametrize(
    "result",
    [
        {"content": [{"type": "text", "text": "no such city: Oslo"}], "isError": True},
        {"code": -32602, "message": "no such city: Oslo"},
    ],
)
def test_without_content_a_failed_tool_says_nothing(result: dict[str, Any]) -> None:
    """What a tool says of its failure is its result, and the query of a resource is an argument."""
    with record_spans(capture="none") as spans:
        with request_span(CALL, "get_weather", SpanKind.CLIENT, False) as span:
            span.set_inputs({"city": "Oslo"})
            record_result(span, result)
        with request_span(READ, "weather://now?city=Oslo", SpanKind.CLIENT, False):
            pass
    assert spans.one(kind="tool").attributes["error.type"]
    assert spans.one(kind="tool").error is not None
    assert spans.one(kind="retriever").attributes["mcp.resource.uri"] == "weather://now"
    assert not any("Oslo" in repr(span) for span in spans)
