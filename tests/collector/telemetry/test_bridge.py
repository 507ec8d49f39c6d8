"""What the registry holds, as OTLP: each number that a scrape shows, under the names of the conventions where they have one."""

import math

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from qualitrace_collector import metrics as collector_metrics
from qualitrace_collector.telemetry import bridge

NOW = 1_800_000_000_000_000_000


@pytest.fixture
def registry() -> CollectorRegistry:
    """Provide a registry without metrics."""
    return CollectorRegistry()


def exported(registry: CollectorRegistry) -> dict[str, Metric]:
    request = encode_metrics(bridge.read(registry, Resource({"service.name": "qualitrace"}), NOW))
    (group,) = request.resource_metrics
    (scope,) = group.scope_metrics
    return {metric.name: metric for metric in scope.metrics}


def test_numbers_keep_their_names_and_labels(registry: CollectorRegistry) -> None:
    """A counter is a monotonic sum, a gauge and information are gauges; a family without series is left out."""
    counter = Counter("qualitrace_a_total", "As.", ["service"], registry=registry)
    counter.labels("shop").inc(3)
    counter.labels("客服").inc(0.5)
    Gauge("qualitrace_b", "B.", registry=registry).set(-math.inf)
    Info("qualitrace_build", "Build.", registry=registry).info({"version": "1"})
    Gauge("qualitrace_none", "None.", ["x"], registry=registry)
    found = exported(registry)
    assert set(found) == {"qualitrace_a_total", "qualitrace_b", "qualitrace_build_info"}
    total = found["qualitrace_a_total"]
    values = {point.attributes[0].value.string_value: point.as_double for point in total.sum.data_points}
    assert (values, total.sum.is_monotonic, total.description) == ({"shop": 3, "客服": 0.5}, True, "As.")
    assert total.sum.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    assert found["qualitrace_b"].gauge.data_points[0].as_double == -math.inf
    assert found["qualitrace_build_info"].gauge.data_points[0].as_double == 1
    assert {point.time_unix_nano for metric in found.values() for point in metric.gauge.data_points} == {NOW}


def test_a_histogram_s_buckets_do_not_overlap(registry: CollectorRegistry) -> None:
    """Prometheus counts in each bucket what is in those below, OTLP does not."""
    histogram = Histogram("qualitrace_h_seconds", "H.", ["a"], buckets=(0.1, 1, 10), registry=registry)
    for value in (0.05, 0.1, 0.5, 5, 50, 500):
        histogram.labels("x").observe(value)
    histogram.labels("y").observe(2)
    points = {
        p.attributes[0].value.string_value: p for p in exported(registry)["qualitrace_h_seconds"].histogram.data_points
    }
    assert list(points["x"].bucket_counts) == [2, 1, 1, 2]
    assert list(points["x"].explicit_bounds) == [0.1, 1, 10]
    assert (points["x"].count, points["x"].sum) == (6, pytest.approx(555.65))
    assert not points["x"].HasField("max")
    assert list(points["y"].bucket_counts) == [0, 0, 1, 0]


def test_calls_of_models_have_the_names_of_the_conventions(registry: CollectorRegistry) -> None:
    """Of OpenTelemetry's GenAI conventions, of which Prometheus' names are made; all of ours that begin so."""
    families = [family for family in collector_metrics.FAMILIES if family.name.startswith("gen_ai_")]
    for family in families:
        family.histogram(registry).labels(*(f"of {label}" for label in family.labels)).observe(1)
    found = exported(registry)
    assert {name: metric.unit for name, metric in found.items()} == {
        "gen_ai.client.operation.duration": "s",
        "gen_ai.client.operation.time_to_first_chunk": "s",
        "gen_ai.client.token.usage": "{token}",
    }
    names = {a.key for metric in found.values() for point in metric.histogram.data_points for a in point.attributes}
    conventional = {"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.token.type"}
    assert names == conventional | {"error.type", "service"}
