"""A span that has ended, as people read it, and spans as a tree: for the console and for tests."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id

from qualitrace.serialize import JSON_TYPE, to_json

# People read the beginning of a tree of a hundred lines; a line is about as wide as a terminal.
MAX_LINES = 100
MAX_TEXT = 60
MAX_DEPTH = 20

_INPUTS = ("gen_ai.input.messages", "gen_ai.tool.call.arguments", "gen_ai.retrieval.query.text")
_OUTPUTS = ("gen_ai.output.messages", "gen_ai.tool.call.result", "gen_ai.retrieval.documents")
_KINDS = {
    "chat": "llm",
    "text_completion": "llm",
    "generate_content": "llm",
    "embeddings": "embedding",
    "retrieval": "retriever",
    "execute_tool": "tool",
    "invoke_agent": "agent",
    "create_agent": "agent",
}


@dataclass(frozen=True)
class RecordedSpan:
    """A span that has ended.

    Attributes:
        name: of the span.
        kind: chain, retriever, tool, agent, llm, embedding …; None if the span does not say.
        inputs, outputs: text, or the value of what was recorded as JSON; None if nothing was.
        error: type and message; None if the step did not fail.
        attributes: all of them, by OpenTelemetry's names.
        session, user: their ids, None without any.
        tokens: of the input and the output, None if they were not reported.
        scope: the instrumentation that made the span; `qualitrace` for the app's own steps.
        service: `service.name`.
        trace_id, span_id, parent_id: in hexadecimal digits; `parent_id` is None for a root.
        is_local_root: no span of this process is its parent.
        start: Unix nanoseconds.
        seconds: how long it took.
    """

    name: str
    kind: str | None
    inputs: Any
    outputs: Any
    error: str | None
    attributes: Mapping[str, Any]
    session: str | None
    user: str | None
    tokens: tuple[int, int] | None
    scope: str
    service: str
    trace_id: str
    span_id: str
    parent_id: str | None
    is_local_root: bool
    start: int
    seconds: float


def read_span(span: ReadableSpan) -> RecordedSpan:
    """Read a span of OpenTelemetry's SDK."""
    attributes: dict[str, Any] = dict(span.attributes or {})
    start, end = span.start_time or 0, span.end_time or span.start_time or 0
    context = span.get_span_context()
    assert context is not None  # noqa: S101  # of a span that was made by a provider
    return RecordedSpan(
        name=span.name,
        kind=_kind(attributes),
        inputs=_content(attributes, "input", _INPUTS),
        outputs=_content(attributes, "output", _OUTPUTS),
        error=(span.status.description or span.name) if span.status.status_code is StatusCode.ERROR else None,
        attributes=attributes,
        session=attributes.get("session.id"),
        user=attributes.get("user.id"),
        tokens=_tokens(attributes),
        scope=span.instrumentation_scope.name if span.instrumentation_scope else "",
        service=str(span.resource.attributes.get("service.name", "")),
        trace_id=format_trace_id(context.trace_id),
        span_id=format_span_id(context.span_id),
        parent_id=format_span_id(span.parent.span_id) if span.parent else None,
        is_local_root=span.parent is None or span.parent.is_remote,
        start=start,
        seconds=(end - start) / 1e9,
    )


def _kind(attributes: Mapping[str, Any]) -> str | None:
    if kind := attributes.get("openinference.span.kind"):
        return str(kind).lower()
    return _KINDS.get(str(attributes.get("gen_ai.operation.name")))


def _content(attributes: Mapping[str, Any], direction: str, names: Iterable[str]) -> Any:
    text = attributes.get(f"{direction}.value")
    if text is not None:
        return _opened(text) if attributes.get(f"{direction}.mime_type") == JSON_TYPE else text
    return next((_opened(attributes[name]) for name in names if name in attributes), None)


def _opened(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):  # no JSON, or nested too deep
        return value


def _tokens(attributes: Mapping[str, Any]) -> tuple[int, int] | None:
    for names in (
        ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
        ("llm.token_count.prompt", "llm.token_count.completion"),
    ):
        counts = [attributes[name] for name in names if isinstance(attributes.get(name), int)]
        if len(counts) == 2:
            return counts[0], counts[1]
    return None


def tree(spans: Sequence[RecordedSpan]) -> str:
    """Return the spans as text, one line each below its parent, at most `MAX_LINES` lines."""
    ids = {span.span_id for span in spans}
    below: dict[str | None, list[RecordedSpan]] = {}
    for span in sorted(spans, key=lambda span: span.start):
        inside = span.parent_id in ids and span.parent_id != span.span_id
        below.setdefault(span.parent_id if inside else None, []).append(span)
    lines = list(islice(_lines(below, None, ""), MAX_LINES))
    left = len(spans) - len(lines)
    return "\n".join(lines) + (f"\n… {left} more spans" if left > 0 else "")


def _lines(below: Mapping[str | None, list[RecordedSpan]], parent: str | None, indent: str) -> Iterator[str]:
    children = below.get(parent, [])
    for span in children:
        is_last = span is children[-1]
        branch, more = ("", "") if parent is None else ("└─ ", "   ") if is_last else ("├─ ", "│  ")
        yield indent + branch + _line(span)
        if len(indent) < MAX_DEPTH * 3:
            yield from _lines(below, span.span_id, indent + more)


def _line(span: RecordedSpan) -> str:
    kind = f" [{span.kind}]" if span.kind not in (None, "chain") else ""
    tokens = f" {span.tokens[0]}+{span.tokens[1]} tokens" if span.tokens else ""
    took = f"{span.seconds:.1f} s" if span.seconds >= 1 else f"{span.seconds * 1000:.0f} ms"
    said = [_short(value) for value in (span.inputs, span.outputs) if value is not None]
    content = f": {' → '.join(said)}" if said else ""
    error = f" ERROR {_clipped(span.error)}" if span.error is not None else ""
    return f"{_clipped(span.name)}{kind} {took}{tokens}{content}{error}"


def _short(value: Any) -> str:
    """Return the beginning of a text, of the last message, or of JSON."""
    if isinstance(value, list) and value and isinstance(message := value[-1], dict) and "role" in message:
        parts = message.get("parts", message.get("content"))
        texts = [part.get("content", part.get("text")) for part in parts or () if isinstance(part, dict)]
        value = " ".join(text for text in texts if isinstance(text, str)) or parts
    return _clipped(value if isinstance(value, str) else to_json(value))


def _clipped(text: str) -> str:
    """Return the text's beginning on one line, without characters that a terminal obeys."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: MAX_TEXT * 4]).split())
    return line if len(line) <= MAX_TEXT and len(text) <= MAX_TEXT * 4 else line[:MAX_TEXT] + "…"
