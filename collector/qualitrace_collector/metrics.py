"""The collector's Prometheus metrics: each family once. `docs/reference/metrics.md` is generated from it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.metrics import MetricWrapperBase

# Prometheus would store the time at which each series began as another series.
disable_created_metrics()


@dataclass(frozen=True, slots=True)
class Family:
    """A family of metrics: the series that share a name and differ in their labels.

    Attributes:
        name: as exported.
        help: what it means, with the values of its labels where they are few.
        buckets: upper bounds, for a histogram.
    """

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    def counter(self, registry: CollectorRegistry) -> Counter:
        """Make the counter, to be increased when something happens."""
        return Counter(self.name, self.help, self.labels, registry=registry)

    def gauge(self, registry: CollectorRegistry) -> Gauge:
        """Make the gauge, to be set when something changes."""
        return Gauge(self.name, self.help, self.labels, registry=registry)

    def histogram(self, registry: CollectorRegistry) -> Histogram:
        """Make the histogram, to be filled when something happens."""
        return Histogram(self.name, self.help, self.labels, buckets=self.buckets, registry=registry)

    def read(self, samples: Iterable[tuple[Sequence[str], float]]) -> Metric:
        """Make the counter or gauge of one scrape, from values read elsewhere, each with its labels."""
        make = CounterMetricFamily if self.type == "counter" else GaugeMetricFamily
        family = make(self.name, self.help, labels=self.labels)
        for labels, value in samples:
            family.add_metric(labels, value)
        return family


def forget_series(registry: CollectorRegistry, label: str, value: str) -> None:
    """End every series with this value of a label, so that names that come and go do not fill the memory."""
    for collector in [*registry._collector_to_names]:  # pyright: ignore[reportPrivateUsage]
        if isinstance(collector, MetricWrapperBase) and label in collector._labelnames:  # pyright: ignore[reportPrivateUsage]
            collector.remove_by_labels({label: value})


DURATION_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

REQUESTS = Family("qualitrace_requests_total", "counter", "Complete GenAI traces.", ("service",))
REQUEST_ERRORS = Family(
    "qualitrace_request_errors_total", "counter", "Complete traces whose root span failed.", ("service",)
)
REQUEST_DURATION = Family(
    "qualitrace_request_duration_seconds", "histogram", "Duration of the root span.", ("service",), DURATION_BUCKETS
)
TIME_TO_FIRST_TOKEN = Family(
    "qualitrace_time_to_first_token_seconds",
    "histogram",
    "Time to the first chunk of streamed model calls.",
    ("service", "model"),
    DURATION_BUCKETS,
)
TOKENS = Family(
    "qualitrace_tokens_total", "counter", "Tokens of model calls, input and output.", ("service", "model", "type")
)
COST_USD = Family(
    "qualitrace_cost_usd_total",
    "counter",
    "Cost of model calls in US dollars, as clients state it or by MLflow's price catalog.",
    ("service", "model"),
)
# What OpenTelemetry's GenAI instrumentations measure of each call of a model: names, units, attributes and buckets of
# https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics as Prometheus writes them
# (https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics). Version 0.1.0 of the conventions
# calls the same `gen_ai.client.inference.*`; OpenTelemetry's own instrumentors still send these.
_CALL = ("service", "gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
_CALL_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
CALL_DURATION = Family(
    "gen_ai_client_operation_duration_seconds",
    "histogram",
    "Duration of each call of a model; error_type is empty if it did not fail, and `_OTHER` if it does not say how.",
    (*_CALL, "error_type"),
    _CALL_SECONDS,
)
CALL_FIRST_CHUNK = Family(
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "histogram",
    "Time to the first chunk of each streamed call of a model.",
    _CALL,
    _CALL_SECONDS,
)
CALL_TOKENS = Family(
    "gen_ai_client_token_usage",
    "histogram",
    "Tokens of each call of a model, where they are known; the type is input or output.",
    (*_CALL, "gen_ai_token_type"),
    tuple(4.0**power for power in range(14)),
)
SPANS_CONFLICTING = Family(
    "qualitrace_spans_conflicting_total",
    "counter",
    "Spans left out because a different one with their ids came first.",
    ("service",),
)
SPANS_LEFT_OUT = Family(
    "qualitrace_spans_left_out_total",
    "counter",
    "Spans and log records left out because their trace has more than assembly.max_trace_spans or max_trace_size.",
    ("service",),
)
REDACTIONS = Family(
    "qualitrace_redactions_total",
    "counter",
    "Replacements by `collector.redact`, by pattern; `custom` for expressions, `failed` where redaction failed.",
    ("rule",),
)
NAMES_REPLACED = Family(
    "qualitrace_names_replaced_total",
    "counter",
    "Traces whose service, and uses of models whose name, is called `other`, because there are too many names: "
    "`qualitrace doctor` shows whose. The kind `call` is calls of models with a label that is.",
    ("kind",),
)
FEEDBACK = Family(
    "qualitrace_feedback_total", "counter", "People's feedback by outcome: stored or expired.", ("source", "outcome")
)
TRACES_DELETED = Family("qualitrace_traces_deleted_total", "counter", "Traces that retention deleted from MLflow.")

TELEMETRY_EXPORTS = Family(
    "qualitrace_telemetry_exports_total",
    "counter",
    "Exports of the server's own spans and metrics to telemetry.endpoint; the outcome is sent or failed.",
    ("signal", "outcome"),
)

TRACES = Family(
    "qualitrace_traces_total",
    "counter",
    "Traces by outcome: stored, not_genai or dead_lettered; one whose outcome was replaced counts in both.",
    ("service", "outcome"),
)
TRACES_CHECKED = Family(
    "qualitrace_traces_checked_total",
    "counter",
    "Complete traces that should have the content: input, output, tokens, documents or session.",
    ("service", "scope", "dialect", "content"),
)
TRACES_LACKING = Family(
    "qualitrace_traces_lacking_total",
    "counter",
    "Traces without the content when they were complete; `qualitrace doctor` says what to do.",
    ("service", "scope", "dialect", "content"),
)
JOURNAL_BACKLOG = Family(
    "qualitrace_journal_backlog_requests",
    "gauge",
    "OTLP requests that were acked and whose traces are not all stored yet.",
)
JOURNAL_OLDEST = Family(
    "qualitrace_journal_oldest_request_seconds",
    "gauge",
    "Age of the oldest request in the journal, 0 if none waits: each waits until its traces are complete and stored.",
)
DEAD_LETTERS = Family(
    "qualitrace_dead_letters",
    "gauge",
    "Traces and requests that were given up and wait for `qualitrace journal` to replay or drop them.",
)
PROCESS_RESTARTS = Family(
    "qualitrace_process_restarts_total",
    "counter",
    "Processes (receive, work) that the supervisor started again; the reason is crash or hang.",
    ("process", "reason"),
)

# What the receive process counts, by the name that it counts under in the journal.
OTLP = {
    name: Family(f"qualitrace_otlp_{name}_total", "counter", meaning, (label,))
    for name, label, meaning in (
        ("requests_received", "door", "OTLP requests taken; the door is http or grpc."),
        ("requests_refused", "reason", "OTLP requests answered with an error."),
        (
            "requests_missing",
            "file",
            "Acked OTLP requests that are gone: the file or its -wal was taken away or damaged, or is an older one.",
        ),
        ("bytes_received", "door", "Size of the OTLP requests taken."),
        ("spans_received", "door", "Spans taken."),
        ("spans_rejected", "reason", "Spans left out of a request for good."),
        ("spans_adjusted", "reason", "Spans that end before they start, kept with a duration of 0."),
        ("log_records_received", "door", "Log records taken."),
        ("log_records_rejected", "reason", "Log records left out of a request for good."),
        ("texts_repaired", "signal", "Texts in requests (traces or logs) that were not UTF-8, with that replaced."),
        ("feedback_received", "source", "People's opinions taken; the source is user or expert."),
    )
}

FAMILIES = (*(family for family in list(globals().values()) if isinstance(family, Family)), *OTLP.values())
