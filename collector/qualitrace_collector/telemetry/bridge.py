"""Prometheus' families as OpenTelemetry's metrics, so that one registry has them all.

The SDK has no producer of metrics from elsewhere, and second instruments would count everything twice. The form is that
of https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.core import Sample

from qualitrace_collector.telemetry.own import SCOPE

_CONVENTIONAL = {
    "gen_ai_client_operation_duration_seconds": ("gen_ai.client.operation.duration", "s"),
    "gen_ai_client_operation_time_to_first_chunk_seconds": ("gen_ai.client.operation.time_to_first_chunk", "s"),
    "gen_ai_client_token_usage": ("gen_ai.client.token.usage", "{token}"),
}
"""Name and unit of the families that OpenTelemetry's semantic conventions name; the others keep Prometheus' names."""
_ATTRIBUTES = {
    "gen_ai_operation_name": "gen_ai.operation.name",
    "gen_ai_provider_name": "gen_ai.provider.name",
    "gen_ai_request_model": "gen_ai.request.model",
    "gen_ai_token_type": "gen_ai.token.type",
    "error_type": "error.type",
}
"""The same for labels."""

_CUMULATIVE = AggregationTemporality.CUMULATIVE
_UNKNOWN_START = 0
"""Many counters are read from the databases, and are older than this process."""


def read(registry: CollectorRegistry, resource: Resource, now_ns: int) -> MetricsData:
    """Return what a scrape would show at a moment, in nanoseconds of Unix time."""
    metrics = [metric for family in registry.collect() for metric in _metric(family, now_ns)]
    scopes = [ScopeMetrics(scope=InstrumentationScope(SCOPE), metrics=metrics, schema_url="")]
    return MetricsData([ResourceMetrics(resource=resource, scope_metrics=scopes, schema_url="")])


def _metric(family: Family, now_ns: int) -> Iterator[Metric]:
    if family.type == "histogram":
        data = Histogram(data_points=[*_histograms(family.samples, now_ns)], aggregation_temporality=_CUMULATIVE)
    elif family.type == "counter":
        totals = [sample for sample in family.samples if sample.name.endswith("_total")]
        data = Sum(data_points=_numbers(totals, now_ns), aggregation_temporality=_CUMULATIVE, is_monotonic=True)
    else:  # gauges, and information, which is a gauge of 1
        data = Gauge(data_points=_numbers(family.samples, now_ns))
    if data.data_points:
        exported = family.samples[0].name if family.type != "histogram" else family.name
        name, unit = _CONVENTIONAL.get(exported, (exported, ""))
        yield Metric(name=name, description=family.documentation, unit=unit, data=data)


def _numbers(samples: Iterable[Sample], now_ns: int) -> list[NumberDataPoint]:
    return [
        NumberDataPoint(_attributes(sample.labels), _UNKNOWN_START, now_ns, float(sample.value)) for sample in samples
    ]


def _histograms(samples: Iterable[Sample], now_ns: int) -> Iterator[HistogramDataPoint]:
    series: dict[frozenset[tuple[str, str]], list[Sample]] = defaultdict(list)
    for sample in samples:
        series[frozenset(item for item in sample.labels.items() if item[0] != "le")].append(sample)
    for labels, of_one in series.items():
        bounds, counts = _buckets(of_one)
        total = next((sample.value for sample in of_one if sample.name.endswith("_sum")), 0.0)
        yield HistogramDataPoint(
            attributes=_attributes(dict(labels)),
            start_time_unix_nano=_UNKNOWN_START,
            time_unix_nano=now_ns,
            count=sum(counts),
            sum=total,
            bucket_counts=counts,
            explicit_bounds=bounds,
            min=None,  # pyright: ignore[reportArgumentType]  # not known; OTLP may leave both out
            max=None,  # pyright: ignore[reportArgumentType]
        )


def _buckets(samples: Iterable[Sample]) -> tuple[Sequence[float], Sequence[int]]:
    """Return the finite bounds, and how many values fell between them: Prometheus counts all below each."""
    below = sorted((float(sample.labels["le"]), int(sample.value)) for sample in samples if "le" in sample.labels)
    counts = [count - before for (_, count), before in zip(below, [0, *(count for _, count in below)], strict=False)]
    return [bound for bound, _ in below if not math.isinf(bound)], counts


def _attributes(labels: Mapping[str, str]) -> dict[str, str]:
    return {_ATTRIBUTES.get(name, name): value for name, value in labels.items()}
