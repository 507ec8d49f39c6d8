"""Prometheus metrics of every stored trace: requests, errors, duration, time to first token, tokens, cost and calls."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter

from qualitrace_collector import metrics
from qualitrace_collector.convert.build_sample import is_error
from qualitrace_collector.convert.first_chunk import first_chunk_seconds
from qualitrace_collector.convert.mlflow_span import MODEL, AnySpan, duration_seconds
from qualitrace_collector.convert.spending import SpanUsage
from qualitrace_collector.names import OTHER, BoundedNames
from qualitrace_collector.pipeline.call_metrics import CallMetrics
from qualitrace_collector.pipeline.stored_trace import MAX_MODELS, StoredTrace
from qualitrace_collector.state import Spent
from qualitrace_collector.state.coverage import USD
from qualitrace_collector.state.services import FULL_TENANTS


class Late(NamedTuple):
    """What late spans add to a trace that was counted before: what it spent since, and its calls of models."""

    trace: StoredTrace
    spent: Spent
    calls: Sequence[AnySpan]


class TraceMetrics:
    """Counts complete traces. Exemplars carry the OpenTelemetry trace id."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._models = BoundedNames(MAX_MODELS, MAX_MODELS * FULL_TENANTS)
        self._requests = metrics.REQUESTS.counter(registry)
        self._errors = metrics.REQUEST_ERRORS.counter(registry)
        self._duration = metrics.REQUEST_DURATION.histogram(registry)
        self._first_token = metrics.TIME_TO_FIRST_TOKEN.histogram(registry)
        self._tokens = metrics.TOKENS.counter(registry)
        self._cost = metrics.COST_USD.counter(registry)
        self._conflicts = metrics.SPANS_CONFLICTING.counter(registry)
        self._left_out = metrics.SPANS_LEFT_OUT.counter(registry)
        self._redactions = metrics.REDACTIONS.counter(registry)
        self._renamed = metrics.NAMES_REPLACED.counter(registry)
        self._calls = CallMetrics(registry)
        for kind in ("service", "model", "call"):
            self._renamed.labels(kind)

    def observe(self, traces: Iterable[StoredTrace], now: float = 0.0) -> None:
        """Count complete traces; `now` is in Unix seconds."""
        sums = _Sums()
        for trace in traces:
            service, root = trace.service, trace.root
            exemplar = {"trace_id": root.trace_id.removeprefix("tr-")}
            sums.add(self._requests, (service,), 1, exemplar)
            for counter in (self._errors, self._conflicts, self._left_out):
                counter.labels(service)  # a series that begins above 0 hides its first increase from Prometheus
            if is_error(root):
                sums.add(self._errors, (service,), 1, exemplar)
            if (seconds := duration_seconds(root)) is not None:
                self._duration.labels(service).observe(seconds, exemplar=exemplar)
            self._add_spent(sums, trace, trace.spent, now)
            for span in trace.calls:
                self._observe_first_token(span, trace, now)
            self._observe_calls(trace, trace.model_calls, trace.spending, now)
        sums.count()

    def observe_late(self, traces: Iterable[Late], now: float) -> None:
        """Count what late spans add to traces that were counted before."""
        sums = _Sums()
        for trace, spent, calls in traces:
            self._add_spent(sums, trace, spent, now)
            ids = {call.span_id for call in calls}
            self._observe_calls(trace, calls, [usage for usage in trace.spending if usage.span_id in ids], now)
        sums.count()

    def count_renamed(self, services: int) -> None:
        """Count traces whose service is called `other`, because there are too many names."""
        self._renamed.labels("service").inc(services)

    def forget(self, services: Iterable[str], models_before: float) -> None:
        """End the series of services that were given up, and of models that were not seen since (Unix seconds)."""
        for service in services:
            metrics.forget_series(self._registry, "service", service)
        for model in self._models.forget(models_before):
            metrics.forget_series(self._registry, "model", model)
        self._calls.forget(models_before)

    def count_conflicts(self, service: str, spans: int) -> None:
        """Count spans of a service that were left out, because others have their ids."""
        if spans:  # a service without any has no series
            self._conflicts.labels(service).inc(spans)

    def count_left_out(self, service: str, spans: int) -> None:
        """Count spans of a service that were left out, because their traces are too large."""
        if spans:
            self._left_out.labels(service).inc(spans)

    def count_redactions(self, counts: Mapping[str, int]) -> None:
        """Count replacements, by rule."""
        for rule, count in counts.items():
            self._redactions.labels(rule).inc(count)

    def _add_spent(self, sums: "_Sums", trace: StoredTrace, spent: Spent, now: float) -> None:
        exemplar = {"trace_id": trace.trace_id.removeprefix("tr-")}
        for name, amounts in spent.items():
            model = self._bounded(name, trace, now)
            for kind, amount in amounts.items():
                if kind == USD:
                    sums.add(self._cost, (trace.service, model), amount, exemplar)
                else:
                    sums.add(self._tokens, (trace.service, model, kind), amount, exemplar)

    def _observe_calls(
        self, trace: StoredTrace, calls: Sequence[AnySpan], usages: Sequence[SpanUsage], now: float
    ) -> None:
        self._renamed.labels("call").inc(self._calls.observe(trace, calls, usages, now))

    def _observe_first_token(self, span: AnySpan, trace: StoredTrace, now: float) -> None:
        if (seconds := first_chunk_seconds(span)) is not None:
            model = self._bounded(str(span.get_attribute(MODEL) or "unknown"), trace, now)
            exemplar = {"trace_id": trace.trace_id.removeprefix("tr-")}
            self._first_token.labels(trace.service, model).observe(seconds, exemplar=exemplar)

    def _bounded(self, model: str, trace: StoredTrace, now: float) -> str:
        name = self._models.bound(model, trace.tenant, now)
        if name == OTHER:
            self._renamed.labels("model").inc()
        return name


class _Sums:
    """Sums up what a batch adds to counters: one increment for each set of labels, its exemplar the last trace."""

    def __init__(self) -> None:
        self._sums: dict[tuple[Counter, tuple[str, ...]], tuple[float, dict[str, str]]] = {}

    def add(self, counter: Counter, labels: tuple[str, ...], amount: float, exemplar: dict[str, str]) -> None:
        before, _ = self._sums.get((counter, labels), (0.0, exemplar))
        self._sums[counter, labels] = before + amount, exemplar

    def count(self) -> None:
        for (counter, labels), (amount, exemplar) in self._sums.items():
            counter.labels(*labels).inc(amount, exemplar=exemplar)
