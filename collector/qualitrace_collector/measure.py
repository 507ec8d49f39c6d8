"""Prometheus metrics of every stored trace: requests, errors, duration, time to first token, tokens and cost."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow.entities import Span, SpanType
from prometheus_client import CollectorRegistry, Counter, Histogram

from qualitrace_collector.convert.passages import LLM_TYPES
from qualitrace_collector.convert.sample import is_error, outermost, root_of
from qualitrace_collector.convert.stored import EMBEDDING_USAGE
from qualitrace_collector.names import BoundedNames

DURATION_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
FIRST_TOKEN_ATTRIBUTES = ("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token")
TOKEN_TYPES = {"input_tokens": "input", "output_tokens": "output"}
SPENDING_TYPES = (*LLM_TYPES, SpanType.EMBEDDING)
MAX_MODELS = 100


class TraceMetrics:
    """Counts complete traces. Exemplars carry the OpenTelemetry trace id."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._models = BoundedNames(MAX_MODELS)
        self._requests = Counter("qualitrace_requests", "Complete GenAI traces.", ["service"], registry=registry)
        self._errors = Counter("qualitrace_request_errors", "Traces whose root failed.", ["service"], registry=registry)
        self._duration = Histogram(
            "qualitrace_request_duration_seconds",
            "Duration of the root span.",
            ["service"],
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self._first_token = Histogram(
            "qualitrace_time_to_first_token_seconds",
            "Time to the first chunk of streamed model calls.",
            ["service", "model"],
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self._tokens = Counter(
            "qualitrace_tokens", "Tokens of model calls.", ["service", "model", "type"], registry=registry
        )
        self._cost = Counter(
            "qualitrace_cost_usd",
            "Cost of model calls in US dollars by MLflow's price catalog.",
            ["service", "model"],
            registry=registry,
        )
        self._conflicts = Counter(
            "qualitrace_spans_conflicting",
            "Spans left out because a different one with their ids came first.",
            ["service"],
            registry=registry,
        )

    def observe(self, spans: Sequence[Span], service: str) -> None:
        """Count one complete trace, given in its translated form."""
        root = root_of(spans)
        exemplar = {"trace_id": root.trace_id.removeprefix("tr-")}
        self._requests.labels(service).inc(exemplar=exemplar)
        if is_error(spans):
            self._errors.labels(service).inc(exemplar=exemplar)
        if root.end_time_ns:
            self._duration.labels(service).observe((root.end_time_ns - root.start_time_ns) / 1e9, exemplar=exemplar)
        for span in outermost(spans, SPENDING_TYPES):
            self._observe_call(span, service, exemplar)

    def count_conflicts(self, spans: Mapping[str, int]) -> None:
        """Count spans that were left out, by service."""
        for service, count in spans.items():
            self._conflicts.labels(service).inc(count)

    def _observe_call(self, span: Span, service: str, exemplar: dict[str, str]) -> None:
        told = span.attributes
        model = self._models.bound(str(told.get("mlflow.llm.model") or "unknown"))
        usage = told.get("mlflow.chat.tokenUsage") or told.get(EMBEDDING_USAGE)
        for key, kind in TOKEN_TYPES.items():
            if count := _amount(usage, key):
                self._tokens.labels(service, model, kind).inc(count, exemplar=exemplar)
        if cost := _amount(told.get("mlflow.llm.cost"), "total_cost"):
            self._cost.labels(service, model).inc(cost, exemplar=exemplar)
        waits = (_amount(told, name) for name in FIRST_TOKEN_ATTRIBUTES)
        if (seconds := next((wait for wait in waits if wait is not None), None)) is not None:
            self._first_token.labels(service, model).observe(seconds, exemplar=exemplar)


def _amount(values: Any, key: str) -> float | None:
    """Return what a client told, if it can be counted: one NaN would stay in a counter for ever."""
    value = values.get(key) if isinstance(values, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if 0 <= value < math.inf else None
