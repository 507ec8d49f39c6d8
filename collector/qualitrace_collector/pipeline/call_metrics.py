"""Prometheus metrics of each call of a model, by OpenTelemetry's names: duration, errors, tokens, first chunk."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mlflow.entities import SpanType
from prometheus_client import CollectorRegistry

from qualitrace_collector import metrics
from qualitrace_collector.convert.build_sample import is_error
from qualitrace_collector.convert.first_chunk import first_chunk_seconds
from qualitrace_collector.convert.mlflow_span import MODEL, AnySpan, duration_seconds
from qualitrace_collector.convert.spending import SpanUsage
from qualitrace_collector.names import OTHER, Bounded, BoundedNames
from qualitrace_collector.pipeline.stored_trace import MAX_MODELS, StoredTrace
from qualitrace_collector.state.services import FULL_TENANTS

# Names that one tenant may use; all limits here are for one. OpenTelemetry lists 17 providers and 20 operations, and
# clients may make up more.
MAX_NAMES = 50

# Combinations of service, operation, provider and model: 200 services (`mlflow.max_experiments`) with five each. One
# is 17 lines of a histogram, some 5 kB, of up to three families.
MAX_CALLS = 1000

# Combinations that failed, each with an error of its own.
MAX_FAILURES = 1000

UNKNOWN = "unknown"
UNKNOWN_ERROR = "_OTHER"  # OpenTelemetry's value of `error.type` for an error without a name

_OPERATIONS = {
    SpanType.CHAT_MODEL: "chat",
    SpanType.LLM: "text_completion",
    SpanType.EMBEDDING: "embeddings",
    SpanType.AGENT: "invoke_agent",
}


class _Call(NamedTuple):
    """The labels that all families of calls share."""

    service: str
    operation: str
    provider: str
    model: str


class CallMetrics:
    """Measures calls of models. Exemplars carry the OpenTelemetry trace id."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._duration = metrics.CALL_DURATION.histogram(registry)
        self._first_chunk = metrics.CALL_FIRST_CHUNK.histogram(registry)
        self._tokens = metrics.CALL_TOKENS.histogram(registry)
        limits = {"operation": MAX_NAMES, "provider": MAX_NAMES, "model": MAX_MODELS, "error": MAX_NAMES}
        self._names = {label: BoundedNames(most, most * FULL_TENANTS) for label, most in limits.items()}
        self._calls = Bounded[_Call](MAX_CALLS, MAX_CALLS * FULL_TENANTS)
        self._failures = Bounded[tuple[_Call, str]](MAX_FAILURES, MAX_FAILURES * FULL_TENANTS)

    def observe(self, trace: StoredTrace, calls: Sequence[AnySpan], usages: Iterable[SpanUsage], now: float) -> int:
        """Measure calls of a trace, and what was used at its spans; `now` is in Unix seconds.

        Returns:
            Of how many calls a label is `other`, because there are too many.
        """
        exemplar = {"trace_id": trace.trace_id.removeprefix("tr-")}
        replaced = 0
        for span in calls:
            call = self._call(trace, span, now)
            error = self._error(call, span, trace.tenant, now) if is_error(span) else ""
            replaced += OTHER in (*call[1:], error)
            if (seconds := duration_seconds(span)) is not None:
                self._duration.labels(*call, error).observe(seconds, exemplar)
            if (first := first_chunk_seconds(span)) is not None:
                self._first_chunk.labels(*call).observe(first, exemplar)
        by_id = {span.span_id: span for span in trace.spans}
        for usage in usages:
            call = self._call(trace, by_id[usage.span_id], now, usage.model)
            for kind, tokens in (("input", usage.input), ("output", usage.output)):
                if tokens:
                    self._tokens.labels(*call, kind).observe(tokens, exemplar)
        return replaced

    def forget(self, before: float) -> None:
        """End the series of calls that were not seen since `before` (Unix seconds)."""
        for names in (*self._names.values(), self._failures):
            names.forget(before)
        for call in self._calls.forget(before):
            labels = dict(zip(metrics.CALL_FIRST_CHUNK.labels, call, strict=True))
            for histogram in (self._duration, self._first_chunk, self._tokens):
                histogram.remove_by_labels(labels)

    def _call(self, trace: StoredTrace, span: AnySpan, now: float, model: str | None = None) -> _Call:
        operation = span.get_attribute("gen_ai.operation.name") or _OPERATIONS.get(span.span_type or "", UNKNOWN)
        provider = span.get_attribute("mlflow.llm.provider") or UNKNOWN
        model = span.get_attribute("gen_ai.request.model") or model or span.get_attribute(MODEL) or UNKNOWN
        found = (("operation", operation), ("provider", provider), ("model", model))
        names = (self._names[label].bound(str(name), trace.tenant, now) for label, name in found)
        call = _Call(trace.service, *names)
        return call if self._calls.admits(call, trace.tenant, now) else _Call(trace.service, OTHER, OTHER, OTHER)

    def _error(self, call: _Call, span: AnySpan, tenant: str, now: float) -> str:
        error = self._names["error"].bound(error_type(span), tenant, now)
        return error if self._failures.admits((call, error), tenant, now) else OTHER


def new_calls(trace: StoredTrace, counted: int) -> Sequence[AnySpan]:
    """Return those of a trace's calls of models that are new, if that many were counted before.

    A late span may show that two spans are one call, or that one is none. So there are as many new ones as there are
    more now: those that came now, and after a crash others that were stored.
    """
    stored = {span.span_id for span in trace.read}
    more = max(0, len(trace.model_calls) - counted)
    return sorted(trace.model_calls, key=lambda call: call.span_id in stored)[:more]


def error_type(span: AnySpan) -> str:
    """Return the class of a failed call's error: its `error.type`, or the exception that the span recorded."""
    if stated := span.get_attribute("error.type"):
        return str(stated)
    raised = (event.attributes.get("exception.type") for event in span.events if event.name == "exception")
    return str(next(filter(None, raised), UNKNOWN_ERROR))
