"""Prometheus metrics of every stored trace: requests, errors, duration, time to first token, tokens and cost."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter

from qualitrace_collector import metrics
from qualitrace_collector.convert.build_sample import is_error
from qualitrace_collector.convert.mlflow_span import MODEL, AnySpan
from qualitrace_collector.convert.spending import countable
from qualitrace_collector.names import BoundedNames
from qualitrace_collector.pipeline.batch import MAX_MODELS, StoredTrace
from qualitrace_collector.state import Spent
from qualitrace_collector.state.coverage import USD

FIRST_TOKEN_ATTRIBUTES = ("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token")


class TraceMetrics:
    """Counts complete traces. Exemplars carry the OpenTelemetry trace id."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._models = BoundedNames(MAX_MODELS)
        self._requests = metrics.REQUESTS.counter(registry)
        self._errors = metrics.REQUEST_ERRORS.counter(registry)
        self._duration = metrics.REQUEST_DURATION.histogram(registry)
        self._first_token = metrics.TIME_TO_FIRST_TOKEN.histogram(registry)
        self._tokens = metrics.TOKENS.counter(registry)
        self._cost = metrics.COST_USD.counter(registry)
        self._conflicts = metrics.SPANS_CONFLICTING.counter(registry)
        self._redactions = metrics.REDACTIONS.counter(registry)

    def observe(self, traces: Iterable[StoredTrace]) -> None:
        """Count complete traces."""
        sums = _Sums()
        for trace in traces:
            service, root = trace.service, trace.root
            exemplar = {"trace_id": root.trace_id.removeprefix("tr-")}
            sums.add(self._requests, (service,), 1, exemplar)
            if is_error(root):
                sums.add(self._errors, (service,), 1, exemplar)
            if root.end_time_ns:
                seconds = (root.end_time_ns - root.start_time_ns) / 1e9
                self._duration.labels(service).observe(seconds, exemplar=exemplar)
            self._add_spent(sums, service, trace.spent, exemplar)
            for span in trace.calls:
                self._observe_first_token(span, service, exemplar)
        sums.count()

    def observe_late(self, traces: Iterable[tuple[str, str, Spent]]) -> None:
        """Count what late spans add to traces that were counted before.

        Args:
            traces: service, MLflow's trace id, and what was spent since.
        """
        sums = _Sums()
        for service, trace_id, spent in traces:
            self._add_spent(sums, service, spent, {"trace_id": trace_id.removeprefix("tr-")})
        sums.count()

    def count_conflicts(self, service: str, spans: int) -> None:
        """Count spans of a service that were left out."""
        if spans:  # a service without any has no series
            self._conflicts.labels(service).inc(spans)

    def count_redactions(self, counts: Mapping[str, int]) -> None:
        """Count replacements, by rule."""
        for rule, count in counts.items():
            self._redactions.labels(rule).inc(count)

    def _add_spent(self, sums: "_Sums", service: str, spent: Spent, exemplar: dict[str, str]) -> None:
        for name, amounts in spent.items():
            model = self._models.bound(name)
            for kind, amount in amounts.items():
                if kind == USD:
                    sums.add(self._cost, (service, model), amount, exemplar)
                else:
                    sums.add(self._tokens, (service, model, kind), amount, exemplar)

    def _observe_first_token(self, span: AnySpan, service: str, exemplar: dict[str, str]) -> None:
        waits = (countable(span.get_attribute(name)) for name in FIRST_TOKEN_ATTRIBUTES)
        if (seconds := next((wait for wait in waits if wait is not None), None)) is not None:
            model = self._models.bound(str(span.get_attribute(MODEL) or "unknown"))
            self._first_token.labels(service, model).observe(seconds, exemplar=exemplar)


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
