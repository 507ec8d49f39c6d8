"""A sample says which release, environment, route and retriever its answer came from."""

from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.convert import build_sample, convert
from qualitrace_collector.piece import SpanRecord
from support.otlp import attributes, chat_span, retriever_span, span
from support.pieces import piece_of

SHOP = {"service.name": "shop", "service.version": "1.4.2", "deployment.environment.name": "production"}


def record(item: Span, **resource: Any) -> SpanRecord:
    return SpanRecord(item, Resource(attributes=attributes(resource)), InstrumentationScope(name="test"))


def metadata_of(*records: SpanRecord) -> dict[str, str]:
    return build_sample(convert(piece_of(*records, whole=True), "shop").spans, "shop").metadata


def answered(number: int = 3, parent: int = 1) -> Span:
    return chat_span(1, number, parent, question="Q?", answer="A.")


def test_the_roots_resource_and_route_and_the_retriever_are_kept() -> None:
    """They are what a fall of quality is explained by; a store inside a retriever is the retriever's."""
    spans = [
        span(1, 1, name="POST /ask", http__route="/ask"),
        retriever_span(1, 2, 1, query="Q?", passages=["P."]),
        retriever_span(1, 4, 2, query="Q?", passages=["P."]),
        answered(),
    ]
    spans[1].name, spans[2].name = "handbook", "chroma.query"
    found = metadata_of(*(record(item, **SHOP) for item in spans))
    expected = {"route": "/ask", "release": "1.4.2", "environment": "production", "retriever": "handbook"}
    assert {name: found.get(name) for name in expected} == expected


def test_the_root_span_names_the_route_of_what_is_no_web_request() -> None:
    """A job has no `http.route`; what was not said is not there."""
    found = metadata_of(record(span(1, 1, name="nightly summary")), record(answered()))
    assert found["route"] == "nightly summary"
    assert found.keys().isdisjoint(("release", "environment", "retriever"))


def test_the_older_name_of_the_environment_counts_where_the_new_one_is_missing() -> None:
    """OpenTelemetry renamed `deployment.environment`; many still send it, some both."""
    old = {"deployment.environment": "old"}
    assert metadata_of(record(answered(1, 0), **old))["environment"] == "old"
    assert metadata_of(record(answered(1, 0), **old, **SHOP))["environment"] == "production"


def test_another_services_release_is_not_the_traces() -> None:
    """A trace goes on in other services; what they call their version says nothing about this one."""
    other = {"service.name": "search", "service.version": "9", "deployment.environment.name": "eu"}
    found = metadata_of(record(span(1, 1)), record(answered(), **other))
    assert found.keys().isdisjoint(("release", "environment"))


def test_what_is_known_stays_known_when_a_span_comes_late() -> None:
    """The root's resource does not come again with the late span, whose own may be another."""
    first = convert(piece_of(record(span(1, 1), **SHOP), record(answered(), **SHOP), whole=True), "shop")
    late = record(retriever_span(1, 2, 1, query="Q?", passages=["P."]))
    later = convert(piece_of(late, whole=False), "shop", first.spans)
    assert build_sample([*first.spans, *later.spans], "shop").metadata["release"] == "1.4.2"


@pytest.mark.parametrize("key", ["route", "release"])
def test_an_endless_text_is_cut(key: str) -> None:
    """Each is kept with every score."""
    long = "x" * 10_000
    root = span(1, 1, name=long)
    assert metadata_of(record(root, **{"service.version": long}), record(answered()))[key] == "x" * 200
