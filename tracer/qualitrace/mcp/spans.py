"""Spans of MCP's requests, in the attributes of OpenTelemetry's conventions for it, and the words in its messages."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace as otel
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from qualitrace.content import captures_content
from qualitrace.quiet import never_raises
from qualitrace.serialize import as_mapping, to_text
from qualitrace.spans import KINDS, Kind, Recording, Span

CALL, READ = "tools/call", "resources/read"
_KINDS: Mapping[str, Kind] = {CALL: "tool", READ: "retriever"}


@contextmanager
def request_span(method: str, target: str, role: SpanKind, is_there: bool) -> Generator[Span]:
    """Make a span of a request current in the block, and record the block's error on it.

    Args:
        method: `CALL` or `READ`.
        target: the tool's name, or the resource's address.
        role: client or server.
        is_there: the current span is of this request: complete it instead.
    """
    if is_there:
        span = Span(get_current_span(), _KINDS[method])
        _identify(span, method, target)
        yield span
        return
    recording = Recording(f"{method} {target}" if method == CALL else method, _KINDS[method], role)
    with recording.lifetime(), recording.current():
        _identify(recording.span, method, target)
        yield recording.span


def _identify(span: Span, method: str, target: str) -> None:
    convention = KINDS[_KINDS[method]]
    span.set_attribute("openinference.span.kind", _KINDS[method].upper())
    span.set_attribute("gen_ai.operation.name", convention.operation)
    span.set_attribute("mcp.method.name", method)
    span.set_attribute(convention.name or "mcp.resource.uri", target)


def attributes_of(span: otel.Span) -> Mapping[str, Any]:
    """Return the attributes of a span that is being recorded; none of another one."""
    return (getattr(span, "attributes", None) or {}) if span.is_recording() else {}


@never_raises
def record_result(span: Span, result: Any) -> None:
    """Record on the current span what a tool returned: its texts as people read them, else its structure."""
    fields = _by_protocol(result)
    text = "\n".join(map(_text, fields.get("content") or ()))
    if fields.get("isError"):
        span.set_attribute("error.type", "tool_error")
        _fail(text)
    elif "code" in fields:  # an error of the protocol, before 2
        span.set_attribute("error.type", str(fields["code"]))
        _fail(str(fields.get("message")))
    # Without content the server asks back.
    span.set_outputs(text or fields.get("structuredContent") or ("" if "content" in fields else fields))


def _fail(text: str) -> None:
    """Mark the current span as failed; what the tool says is content."""
    get_current_span().set_status(StatusCode.ERROR, to_text(text)[0] if captures_content() else None)


@never_raises
def documents(result: Any) -> list[dict[str, Any]]:
    """Return what was read from a resource as documents."""
    return [{"id": item.get("uri"), "text": _text(item)} for item in _by_protocol(result).get("contents") or []]


def _by_protocol(result: Any) -> Mapping[str, Any]:
    """Return a result with the protocol's names for its fields."""
    if callable(dump := getattr(result, "model_dump", None)):
        result = dump(by_alias=True, exclude_none=True, mode="json")
    return as_mapping(result) or {}


def _text(block: Mapping[str, Any]) -> str:
    """Return a block of content as text: media by their type, resources by their text or address."""
    resource = block.get("resource") or block
    if isinstance(text := resource.get("text"), str):
        return text
    return f"<{' '.join(filter(None, (resource.get('mimeType') or block.get('type'), resource.get('uri'))))}>"
