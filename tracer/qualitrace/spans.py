"""Spans of the app's own steps, in the attributes that OpenTelemetry, OpenInference and MLflow read."""

import json
import reprlib
import traceback
from asyncio import CancelledError
from collections.abc import AsyncIterator, Awaitable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from opentelemetry import trace as otel
from opentelemetry.context import attach, create_key, get_current, get_value, set_value
from opentelemetry.trace import INVALID_SPAN, SpanKind, StatusCode, format_trace_id, set_span_in_context

from qualitrace.content import captures_content
from qualitrace.documents import retrieval_attributes
from qualitrace.quiet import detach, logger, never_raises
from qualitrace.serialize import to_json, to_text

Kind = Literal["chain", "retriever", "tool", "agent"]

# Not get_tracer, which raises where OTEL_PYTHON_TRACER_PROVIDER is misspelled.
_tracer = otel.ProxyTracer("qualitrace")

_CURRENT = create_key("qualitrace.span")

# MLflow makes a tag of the trace of each attribute that begins so.
TAG_PREFIX = "mlflow.traceTag."
_METADATA = "metadata"  # OpenInference's
# OpenTelemetry keeps 128 attributes of a span, and drops the oldest beyond: the content among them.
MAX_TAGS = 32
# The innermost frames of an error say where it happened.
MAX_FRAMES = 50


@dataclass(frozen=True)
class _Convention:
    """The value of `gen_ai.operation.name` for a kind, and the attributes for its name, input and output."""

    operation: str | None = None
    name: str | None = None
    inputs: str | None = None
    outputs: str | None = None


KINDS: Mapping[str, _Convention] = {
    "chain": _Convention(),
    "retriever": _Convention("retrieval", inputs="gen_ai.retrieval.query.text"),
    "tool": _Convention("execute_tool", "gen_ai.tool.name", "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
    "agent": _Convention("invoke_agent", "gen_ai.agent.name"),
}


class Span:
    """A step that is being traced. Its methods never raise, and do nothing without `init`.

    >>> with qualitrace.span("answer") as step:
    ...     step.set_inputs("Do you ship to France?")
    ...     step.set_outputs("Yes.")
    ...     step.set_attribute("cache.hit", False)
    ...     step.set_tags({"plan": "gold"})
    ...     step.set_metadata({"index": "handbook-7"})
    """

    def __init__(self, span: otel.Span, kind: str) -> None:
        self._span = span
        self._kind = kind

    def is_of(self, span: otel.Span) -> bool:
        """Whether this writes to OpenTelemetry's `span`."""
        return self._span is span

    @never_raises
    def set_inputs(self, value: Any) -> None:
        """Record the input of the step: text as it is, any other value as JSON."""
        if not self._records_content(value):
            return
        text, mime_type = to_text(value)
        self._span.set_attributes({"input.value": text, "input.mime_type": mime_type})
        if attribute := KINDS[self._kind].inputs:
            self._span.set_attribute(attribute, _query(value) if self._kind == "retriever" else text)

    @never_raises
    def set_outputs(self, value: Any) -> None:
        """Record the output of the step. The documents of a retriever may be texts, dicts, (document, score) pairs
        or the objects of LangChain and LlamaIndex.
        """
        if not self._records_content(value):
            return
        if self._kind == "retriever":
            self._span.set_attributes(retrieval_attributes(value))
            return
        text, mime_type = to_text(value)
        self._span.set_attributes({"output.value": text, "output.mime_type": mime_type})
        if attribute := KINDS[self._kind].outputs:
            self._span.set_attribute(attribute, text)

    @never_raises
    def set_attribute(self, key: str, value: Any) -> None:
        """Set an attribute; what OpenTelemetry cannot carry (dicts, objects, None) becomes JSON."""
        plain = isinstance(value, (bool, float)) or (isinstance(value, int) and value.bit_length() < 64)
        self._span.set_attribute(key, value if plain else to_text(value)[0])

    @never_raises
    def set_tags(self, tags: Mapping[str, Any] | Iterable[str]) -> None:
        """Tag the trace: MLflow lists and filters by tags. At most 32 in one call.

        Args:
            tags: values by name, or names alone, whose value is `true`.
        """
        names = [tags] if isinstance(tags, str) else tags
        pairs = names.items() if isinstance(names, Mapping) else ((name, True) for name in names)
        for name, value in islice(pairs, MAX_TAGS):
            self._span.set_attribute(TAG_PREFIX + str(name), to_text(value)[0])

    @never_raises
    def set_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Add to the metadata of the span, which is kept as JSON in the attribute `metadata`."""
        known = (getattr(self._span, "attributes", None) or {}).get(_METADATA, "{}")
        self._span.set_attribute(_METADATA, to_json({**json.loads(known), **metadata}))

    def _records_content(self, value: Any) -> bool:
        # To read an iterator or await an awaitable would use it up.
        is_stream = isinstance(value, (Iterator, AsyncIterator, Awaitable))
        return not is_stream and self._span.is_recording() and captures_content()


def _query(inputs: Any) -> str:
    """Return the query among the inputs of a retriever: the first text."""
    if isinstance(inputs, Mapping):
        texts = (value for value in inputs.values() if isinstance(value, str))
        return next(texts, to_json(inputs))
    return to_text(inputs)[0]


class Recording:
    """The life of a span: current while the code of the step runs, failed by its error, ended in any case.

    Attributes:
        span: for the app's code to write to.
    """

    def __init__(self, name: str, kind: str, role: SpanKind = SpanKind.INTERNAL) -> None:
        self._span = _start(name, kind, role) or INVALID_SPAN
        self.span = Span(self._span, kind)
        self._context = set_value(_CURRENT, self.span, set_span_in_context(self._span))

    @contextmanager
    def current(self) -> Generator[None]:
        """Make the span current in the block. For a generator that is one step; the next one gets its context."""
        token = attach(self._context)
        try:
            yield
        finally:
            self._context = get_current()
            detach(token)

    @contextmanager
    def lifetime(self) -> Generator[None]:
        """End the span with the block; record an error of the block and pass it on."""
        try:
            yield
        except (Exception, CancelledError) as error:
            self._fail(error)
            raise
        finally:
            self._end()

    @never_raises
    def _fail(self, error: BaseException) -> None:
        said = _words(error)
        self._span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {said}")
        # Not `record_exception`: it writes all frames, for each of the steps that a deep recursion leaves.
        trace = traceback.format_exception(error, limit=-MAX_FRAMES)
        recorded = {"type": type(error).__qualname__, "message": said, "stacktrace": to_text("".join(trace))[0]}
        self._span.add_event("exception", {f"exception.{key}": text for key, text in recorded.items()})

    @never_raises
    def _end(self) -> None:
        self._span.end()


def _words(error: BaseException) -> str:
    try:
        return to_text(str(error))[0]
    except Exception:
        return "<unreadable>"


@never_raises
def _start(name: str, kind: str, role: SpanKind) -> otel.Span:
    convention, name = KINDS[kind], to_text(name)[0]
    attributes = {"openinference.span.kind": kind.upper()}
    if convention.operation:
        attributes["gen_ai.operation.name"] = convention.operation
    if convention.name:
        attributes[convention.name] = name
    return _tracer.start_span(name, kind=role, attributes=attributes)


@contextmanager
def span(name: str, *, kind: Kind = "chain") -> Generator[Span]:
    """Trace a block, in async code too.

    An error of the block is recorded and passes through.

    >>> with qualitrace.span("look up", kind="tool") as step:
    ...     step.set_inputs({"city": "Paris"})
    ...     step.set_outputs("rain")

    Args:
        name: of the span.
        kind: chain, retriever, tool or agent; an unknown one causes a warning and counts as chain.
    """
    # An app may pass anything, a list too.
    known = isinstance(kind, str) and kind in KINDS  # pyright: ignore[reportUnnecessaryIsInstance]
    if not known:
        logger.warning("span %r: %s; taken as chain", name, unknown_kind(kind))
    recording = Recording(name, kind if known else "chain")
    with recording.lifetime(), recording.current():
        yield recording.span


def current_span() -> Span:
    """Return the step that is being traced, of `@trace`, `span()` or a library; outside of any, one that records
    nothing.

    >>> @qualitrace.trace
    ... def answer(question: str) -> str:
    ...     qualitrace.current_span().set_tags({"plan": "gold"})
    ...     return "Yes."
    >>> answer("Do you ship to France?")
    'Yes.'
    """
    current, ours = otel.get_current_span(), get_value(_CURRENT)
    return ours if isinstance(ours, Span) and ours.is_of(current) else Span(current, "chain")


def unknown_kind(kind: object) -> str:
    """Return the message about an unknown kind, with the known ones."""
    return f"unknown kind {reprlib.repr(kind)}; kinds: {', '.join(KINDS)}"


def current_trace_id() -> str | None:
    """Return the trace id of the current span as 32 hex digits, None outside of any.

    >>> with qualitrace.span("answer"):
    ...     trace_id = qualitrace.current_trace_id()
    >>> len(trace_id)
    32
    """
    context = otel.get_current_span().get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else None
