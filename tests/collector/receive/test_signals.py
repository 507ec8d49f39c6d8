"""The signals: traces and logs; an invalid item is rejected and reported, its neighbours stay."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.receive.settings import ItemLimits
from qualitrace_collector.receive.signals import LOGS, TRACES
from qualitrace_collector.receive.validation import Validation
from qualitrace_collector.telemetry.own import SCOPE

TRACE_ID, SPAN_ID = b"t" * 16, b"s" * 8

BAD_SPANS = {
    "trace_id": [
        Span(span_id=SPAN_ID),
        Span(trace_id=bytes(16), span_id=SPAN_ID),
        Span(trace_id=b"t" * 15, span_id=SPAN_ID),
        Span(trace_id=b"t" * 17, span_id=SPAN_ID),
    ],
    "span_id": [Span(trace_id=TRACE_ID, span_id=id_) for id_ in (b"", bytes(8), b"s" * 7, b"s" * 16)],
    "parent_span_id": [Span(trace_id=TRACE_ID, span_id=SPAN_ID, parent_span_id=b"p" * 7)],
}


def good_span(name: str) -> Span:
    """Make a span that just passes: it ends when it starts, and may lack a name."""
    return Span(trace_id=TRACE_ID, span_id=SPAN_ID, name=name, start_time_unix_nano=5, end_time_unix_nano=5)


def request_of(*scopes: list[Span]) -> ExportTraceServiceRequest:
    """Make a request with one resource and a scope for each list of spans."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    for spans in scopes:
        resource.scope_spans.add().spans.extend(spans)
    return request


def check(request: ExportTraceServiceRequest | ExportLogsServiceRequest, **limits: int) -> Validation:
    """Check a request as the doors do."""
    signal = TRACES if isinstance(request, ExportTraceServiceRequest) else LOGS
    return signal.check(request, request.ByteSize(), ItemLimits.model_validate(limits))


def test_what_a_server_tells_of_itself_is_rejected() -> None:
    """By its scope, or by its resource where others changed the scope; the spans of applications beside it stay."""
    request = request_of([good_span("a")], [good_span("own"), good_span("own")], [good_span("b")])
    request.resource_spans[0].scope_spans[1].scope.name = SCOPE
    other = request_of([good_span("own")], [good_span("own")])
    distro = KeyValue(key="telemetry.distro.name", value=AnyValue(string_value="qualitrace-server"))
    other.resource_spans[0].resource.attributes.append(distro)
    request.MergeFrom(other)
    sdk = request_of([good_span("c")])
    distro.value.string_value = "qualitrace"  # what applications send with our SDK
    sdk.resource_spans[0].resource.attributes.append(distro)
    request.MergeFrom(sdk)
    validation = check(request)
    left = [span.name for place in TRACES.places(request) for span in place.items]
    assert (left, validation.kept, validation.rejected) == (["a", "b", "c"], 3, {"own": 4})
    assert validation.message.endswith("(first: resource_spans[0].scope_spans[1].spans[0])")


@pytest.mark.parametrize(("reason", "bad"), [(reason, span) for reason, all_ in BAD_SPANS.items() for span in all_])
def test_each_rule_rejects_the_span_that_breaks_it(reason: str, bad: Span) -> None:
    """A zero, short or long id is rejected for its own reason and place."""
    request = request_of([], [good_span("a"), bad, good_span("")])
    validation = check(request)
    assert validation.kept == 2
    assert validation.rejected == {reason: 1}
    assert validation.message.startswith(f"1 rejected: {reason}")
    assert validation.message.endswith("(first: resource_spans[0].scope_spans[1].spans[1])")
    assert request == request_of([], [good_span("a"), good_span("")])


marked = st.one_of(
    st.builds(good_span, st.text("ab", max_size=3)), st.sampled_from([s for all_ in BAD_SPANS.values() for s in all_])
)


@given(st.lists(st.lists(marked, max_size=6), max_size=3))
def test_exactly_the_valid_spans_stay_in_order(scopes: list[list[Span]]) -> None:
    """However good and bad spans are mixed, the good ones stay in order and every other one is counted."""
    request = request_of(*scopes)
    validation = check(request)
    kept = [[span for span in spans if span.start_time_unix_nano == 5] for spans in scopes]
    assert request == request_of(*kept)
    assert validation.kept == sum(map(len, kept))
    assert validation.kept + validation.rejected.total() == sum(map(len, scopes))
    assert bool(validation.message) == bool(validation.rejected)


@pytest.mark.parametrize("end", [0, 1, 4])
def test_a_span_that_ends_before_it_starts_ends_when_it_starts(end: int) -> None:
    """A clock that was set back, or an end that was never sent, costs the duration alone; the span is counted."""
    odd = Span(trace_id=TRACE_ID, span_id=SPAN_ID, name="odd", start_time_unix_nano=5, end_time_unix_nano=end)
    odd.events.add(name="first token", time_unix_nano=3)
    request = request_of([good_span("a"), odd], [good_span("b")])
    validation = check(request)
    assert (validation.kept, validation.message) == (3, "")
    assert validation.adjusted == {"end_before_start": 1}
    odd.end_time_unix_nano = 5
    assert request == request_of([good_span("a"), odd], [good_span("b")])


def test_several_reasons_are_told_with_their_counts() -> None:
    """The message has one part for each reason, each with its number and its first place."""
    validation = check(request_of([BAD_SPANS["trace_id"][0]], BAD_SPANS["span_id"] + [good_span("a")]))
    first, second = validation.message.split("; ")
    assert first.startswith("1 rejected: trace_id must be 16 bytes")
    assert second.startswith("4 rejected: span_id must be 8 bytes")
    assert second.endswith("scope_spans[1].spans[0])")


IDS = {"trace_id": TRACE_ID, "span_id": SPAN_ID}


def attribute(key: str, value: str = "x") -> KeyValue:
    """Make an attribute of text."""
    return KeyValue(key=key, value=AnyValue(string_value=value))


@pytest.mark.parametrize(
    ("record", "scope", "reason"),
    [
        (LogRecord(**IDS, event_name="gen_ai.user.message"), "any", None),
        (LogRecord(**IDS, attributes=[attribute("event.name", "gen_ai.choice")]), "any", None),
        (LogRecord(**IDS, attributes=[attribute("other"), attribute("gen_ai.system")]), "any", None),
        (LogRecord(**IDS), "opentelemetry.instrumentation.genai.openai", None),
        (LogRecord(**IDS), "gcp.vertex.agent", None),
        (LogRecord(**IDS), "app.orders", "not_genai"),
        (LogRecord(**IDS, event_name="order.placed", attributes=[attribute("event.name")]), "", "not_genai"),
        (LogRecord(span_id=SPAN_ID, event_name="gen_ai.choice"), "any", "trace_id"),
        (LogRecord(trace_id=bytes(16), span_id=SPAN_ID, event_name="gen_ai.choice"), "any", "trace_id"),
        (LogRecord(trace_id=TRACE_ID, event_name="gen_ai.choice"), "any", "span_id"),
        (LogRecord(trace_id=TRACE_ID, span_id=bytes(8), event_name="gen_ai.choice"), "any", "span_id"),
        (LogRecord(trace_id=TRACE_ID, span_id=b"short", event_name="gen_ai.choice"), "any", "span_id"),
    ],
)
def test_log_records_need_a_genai_span(record: LogRecord, scope: str, reason: str | None) -> None:
    """A record is kept if it names its span and is known as GenAI's by event, attribute or scope; else rejected with the reason."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add().scope_logs.add(log_records=[record])
    group.scope.name = scope
    validation = check(request)
    assert validation.rejected == ({reason: 1} if reason else {})
    assert len(group.log_records) == validation.kept == (0 if reason else 1)


def test_a_valid_request_keeps_its_bytes(make_request: Callable[..., ExportTraceServiceRequest]) -> None:
    """Validation changes nothing in a request without faults."""
    request = make_request(spans=3)
    before = request.SerializeToString()
    assert check(request).kept == 3
    assert request.SerializeToString() == before


def full_span(name: str, **counts: int) -> Span:
    """Make a good span with as many empty attributes, events and links."""
    span = good_span(name)
    for field, count in counts.items():
        for _ in range(count):
            getattr(span, field).add()
    return span


@pytest.mark.parametrize("field", ["attributes", "events", "links"])
def test_a_span_that_holds_too_much_is_rejected_alone(field: str) -> None:
    """One more than the setting allows takes the span out, and the client reads which setting that is."""
    fits, exceeds = full_span("fits", **{field: 3}), full_span("exceeds", **{field: 4})
    request = request_of([fits, exceeds, good_span("other")])
    validation = check(request, **{field: 3})
    assert request == request_of([fits, good_span("other")])
    assert validation.rejected == {field: 1}
    assert f"may have 3 {field} (otlp.limits.{field})" in validation.message


@pytest.mark.parametrize("field", ["events", "links"])
def test_attributes_of_events_and_links_are_counted_too(field: str) -> None:
    """An event or a link with more attributes than a span may have takes its span out."""
    exceeds = full_span("exceeds", **{field: 1})
    for _ in range(4):
        getattr(exceeds, field)[0].attributes.add(key="k")
    request = request_of([exceeds, good_span("other")])
    assert check(request, attributes=3, events=3, links=3).rejected == {"attributes": 1}
    assert request == request_of([good_span("other")])


def test_what_is_sent_under_too_many_attributes_is_rejected() -> None:
    """A resource or scope with more attributes than it may have takes all of its spans out, but not another's."""
    request = request_of([good_span("a"), good_span("b")])
    request.MergeFrom(request_of([good_span("c")]))
    request.MergeFrom(request_of([good_span("other")]))
    for _ in range(4):
        request.resource_spans[0].resource.attributes.add(key="k")
        request.resource_spans[1].scope_spans[0].scope.attributes.add(key="k")
    validation = check(request, shared_attributes=3)
    assert (validation.kept, validation.rejected) == (1, {"shared": 3})
    assert "otlp.limits.shared_attributes" in validation.message


def test_what_is_sent_under_a_large_resource_is_rejected() -> None:
    """At the limit it is taken, a byte beyond it is not: it is read for each trace."""
    request = request_of([good_span("a")])
    resource = request.resource_spans[0].resource
    resource.attributes.add(key="k" * 5000)
    assert check(request, shared_size=resource.ByteSize()).kept == 1
    assert check(request, shared_size=resource.ByteSize() - 1).rejected == {"shared": 1}


def test_spans_beyond_the_limit_are_rejected_and_the_first_kept() -> None:
    """They are counted over all scopes of a request, and each is reported."""
    request = request_of([good_span("a"), good_span("b")], [good_span("c"), good_span("d")], [good_span("e")])
    validation = check(request, spans=3)
    assert request == request_of([good_span("a"), good_span("b")], [good_span("c")], [])
    assert (validation.kept, validation.rejected) == (3, {"spans": 2})
    assert "a request may hold 3 of them (otlp.limits.spans)" in validation.message


def test_a_span_that_is_too_large_is_rejected_alone() -> None:
    """At the limit it is taken, a byte beyond it is not."""
    fits = good_span("n" * 100)
    request = request_of([fits, good_span("n" * 101)])
    validation = check(request, span_size=fits.ByteSize())
    assert request == request_of([fits])
    assert validation.rejected == {"size": 1}


def test_spans_beyond_the_size_of_a_trace_are_rejected() -> None:
    """Of two traces in a request, only the one that is too large loses what is beyond its size."""
    spans = [good_span("n" * 100) for _ in range(3)]
    other = good_span("n" * 100)
    other.trace_id = b"o" * 16
    request = request_of([*spans, other])
    validation = check(request, trace_size=2 * other.ByteSize())
    assert request == request_of([*spans[:2], other])
    assert validation.rejected == {"trace_size": 1}
