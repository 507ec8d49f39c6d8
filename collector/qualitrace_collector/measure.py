"""Prometheus metrics of every stored trace: requests, errors, duration, time to first token, tokens and cost."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlflow.entities import SpanType
from prometheus_client import CollectorRegistry, Counter, Histogram

from qualitrace_collector.convert.passages import LLM_TYPES
from qualitrace_collector.convert.sample import is_error, outermost, root_of
from qualitrace_collector.convert.stored import EMBEDDING_USAGE, AnySpan
from qualitrace_collector.names import BoundedNames
from qualitrace_collector.state import Spending

DURATION_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
FIRST_TOKEN_ATTRIBUTES = ("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token")
TOKEN_TYPES = {"input_tokens": "input", "output_tokens": "output"}
USD = "usd"
SPENDING_TYPES = (*LLM_TYPES, SpanType.EMBEDDING)
MAX_MODELS = 100
MOST = 1e15
"""Of tokens, seconds or dollars: no call has so many, and sums stay numbers."""


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
        self._redactions = Counter(
            "qualitrace_redactions", "Replacements by collector.redact.", ["rule"], registry=registry
        )

    def observe(self, traces: Iterable[tuple[str, Sequence[AnySpan]]]) -> None:
        """Count complete traces, each given as its service and its spans in their translated form."""
        sums = _Sums()
        for service, spans in traces:
            root = root_of(spans)
            exemplar = {"trace_id": root.trace_id.removeprefix("tr-")}
            sums.add(self._requests, (service,), 1, exemplar)
            if is_error(root):
                sums.add(self._errors, (service,), 1, exemplar)
            if root.end_time_ns:
                seconds = (root.end_time_ns - root.start_time_ns) / 1e9
                self._duration.labels(service).observe(seconds, exemplar=exemplar)
            for span in outermost(spans, SPENDING_TYPES):
                self._observe_first_token(span, service, exemplar)
            self._add_spending(sums, service, spending_of(spans), exemplar)
        sums.count()

    def observe_late(self, traces: Iterable[tuple[str, str, Spending]]) -> None:
        """Count what late spans add to traces that were counted before: service, MLflow's trace id, spending."""
        sums = _Sums()
        for service, trace_id, spending in traces:
            self._add_spending(sums, service, spending, {"trace_id": trace_id.removeprefix("tr-")})
        sums.count()

    def count_conflicts(self, spans: Mapping[str, int]) -> None:
        """Count spans that were left out, by service."""
        for service, count in spans.items():
            self._conflicts.labels(service).inc(count)

    def count_redactions(self, counts: Mapping[str, int]) -> None:
        """Count replacements, by rule."""
        for rule, count in counts.items():
            self._redactions.labels(rule).inc(count)

    def _add_spending(self, sums: "_Sums", service: str, spending: Spending, exemplar: dict[str, str]) -> None:
        for name, amounts in spending.items():
            model = self._models.bound(name)
            for kind, amount in amounts.items():
                labels = (service, model) if kind == USD else (service, model, kind)
                sums.add(self._cost if kind == USD else self._tokens, labels, amount, exemplar)

    def _observe_first_token(self, span: AnySpan, service: str, exemplar: dict[str, str]) -> None:
        waits = (_amount(span.get_attribute(name)) for name in FIRST_TOKEN_ATTRIBUTES)
        if (seconds := next((wait for wait in waits if wait is not None), None)) is not None:
            model = self._models.bound(_model(span))
            self._first_token.labels(service, model).observe(seconds, exemplar=exemplar)


def spending_of(spans: Sequence[AnySpan]) -> Spending:
    """Return what the calls of a trace used; each call counts once, however many spans tell of it."""
    spending: dict[str, dict[str, float]] = {}
    models = BoundedNames(MAX_MODELS)
    for span in outermost(spans, SPENDING_TYPES):
        usage = span.get_attribute("mlflow.chat.tokenUsage") or span.get_attribute(EMBEDDING_USAGE)
        amounts = {kind: _amount(_item(usage, key)) for key, kind in TOKEN_TYPES.items()}
        amounts[USD] = _amount(_item(span.get_attribute("mlflow.llm.cost"), "total_cost"))
        for kind, amount in amounts.items():
            if amount:
                of_model = spending.setdefault(models.bound(_model(span)), {})
                of_model[kind] = of_model.get(kind, 0) + amount
    return spending


def gained(before: Spending, now: Spending) -> Spending:
    """Return what a trace used beyond what was counted of it; of each kind no more than its sum has grown by.

    A late span may show that a call goes by another model's name, or was counted already.
    """
    more: dict[str, dict[str, float]] = {}
    for kind in (*TOKEN_TYPES.values(), USD):
        left = _sum(now, kind) - _sum(before, kind)
        for model, amounts in now.items():
            amount = min(left, amounts.get(kind, 0) - before.get(model, {}).get(kind, 0))
            if amount > 0:
                more.setdefault(model, {})[kind] = amount
                left -= amount
    return more


def added(before: Spending, more: Spending) -> Spending:
    """Return the sum of two spendings."""
    result = {model: dict(amounts) for model, amounts in before.items()}
    for model, amounts in more.items():
        of_model = result.setdefault(model, {})
        for kind, amount in amounts.items():
            of_model[kind] = of_model.get(kind, 0) + amount
    return result


def _sum(spending: Spending, kind: str) -> float:
    return sum(amounts.get(kind, 0) for amounts in spending.values())


def _model(span: AnySpan) -> str:
    return str(span.get_attribute("mlflow.llm.model") or "unknown")


class _Sums:
    """What a batch adds to counters: one increment for each set of labels, with the last trace as its exemplar."""

    def __init__(self) -> None:
        self._sums: dict[tuple[Counter, tuple[str, ...]], tuple[float, dict[str, str]]] = {}

    def add(self, counter: Counter, labels: tuple[str, ...], amount: float, exemplar: dict[str, str]) -> None:
        before, _ = self._sums.get((counter, labels), (0.0, exemplar))
        self._sums[counter, labels] = before + amount, exemplar

    def count(self) -> None:
        for (counter, labels), (amount, exemplar) in self._sums.items():
            counter.labels(*labels).inc(amount, exemplar=exemplar)


def _item(values: Any, key: str) -> Any:
    return values.get(key) if isinstance(values, Mapping) else None


def _amount(value: Any) -> float | None:
    """Return what a client told, if it can be counted: one NaN would stay in a counter for ever."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if 0 <= value < MOST else None
