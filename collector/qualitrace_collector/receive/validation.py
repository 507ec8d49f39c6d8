"""Which spans and log records of a request are kept.

Invalid spans and log records are taken out of a request, and each rule that was broken is reported; their neighbours
stay. The rules are those of the OTLP schema: a trace id has 16 bytes, a span id 8, neither all zero; a parent's id may
be empty, and so may names. Log records are only taken for the content of a GenAI span, so they must name one.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.receive.settings import ItemLimits
from qualitrace_collector.telemetry.own import SCOPE, is_of_server

_RULES = {
    "trace_id": "trace_id must be 16 bytes, not all zero",
    "span_id": "span_id must be 8 bytes, not all zero",
    "parent_span_id": "parent_span_id must be empty or 8 bytes",
    "not_genai": "only log records of GenAI instrumentations are taken; send the others to a log store",
    "tenant": "trace belongs to another tenant",
    "own": "spans of a qualitrace server about itself (telemetry.endpoint) are not taken, or they would go in circles",
    "spans": "a request may hold {spans} of them (otlp.limits.spans); send smaller batches",
    "size": "one may have {span_size} bytes (otlp.limits.span_size)",
    "trace_size": "one trace may have {trace_size} bytes in a request (otlp.limits.trace_size); send smaller batches",
    "attributes": "it, its events and links may have {attributes} attributes (otlp.limits.attributes)",
    "shared": "its resource and scope may have {shared_attributes} attributes and {shared_size} bytes each "
    "(otlp.limits.shared_attributes, otlp.limits.shared_size)",
    "events": "a span may have {events} events (otlp.limits.events)",
    "links": "a span may have {links} links (otlp.limits.links)",
}
END_BEFORE_START = "end_before_start"

# How the scopes of those instrumentations begin whose log records carry prompts and answers.
GENAI_SCOPES = (
    "opentelemetry.instrumentation.genai.",
    "opentelemetry.instrumentation.openai_v2",
    "opentelemetry.util.genai",
    "openinference.instrumentation.",
    "gcp.vertex.agent",
    "pydantic-ai",
)

_GENAI = "gen_ai."
_NO_TRACE_ID = bytes(16)
_NO_SPAN_ID = bytes(8)


class Place(NamedTuple):
    """A list of items in a request, with what it was sent under, and the path to it."""

    items: Any
    resource: Resource
    scope: InstrumentationScope
    path: str
    indexes: tuple[int, int]

    def of(self, index: int) -> str:
        """Return the path to one of the items."""
        return self.path.format(*self.indexes) + f"[{index}]"


@dataclass(slots=True)
class Validation:
    """What validation did to a request.

    Attributes:
        limits: by which items were rejected.
        kept: items that are still in the request.
        adjusted: items among them that were changed to be valid, by reason.
        rejected: items taken out, by reason.
        first: where the first item of each reason stood.
    """

    limits: ItemLimits
    kept: int = 0
    adjusted: Counter[str] = field(default_factory=Counter[str])
    rejected: Counter[str] = field(default_factory=Counter[str])
    first: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def message(self) -> str:
        """For each reason: the rule, how many items broke it, and where the first one stood."""
        limits = self.limits.model_dump()
        return "; ".join(
            f"{count} rejected: {_RULES[reason].format(**limits)} (first: {self.first[reason]})"
            for reason, count in self.rejected.items()
        )

    def reject(self, reason: str, place: Place, index: int, count: int = 1) -> None:
        """Note that items from that place on were taken out."""
        self.rejected[reason] += count
        if reason not in self.first:
            self.first[reason] = place.of(index)


Places = Iterator[Place]


def places_of_spans(request: ExportTraceServiceRequest) -> Places:
    """Yield the lists of spans in `request`."""
    for i, group in enumerate(request.resource_spans):
        for j, scope in enumerate(group.scope_spans):
            yield Place(scope.spans, group.resource, scope.scope, "resource_spans[{}].scope_spans[{}].spans", (i, j))


def add_place_of_spans(request: ExportTraceServiceRequest, place: Place) -> Any:
    """Add an empty list of spans under the place's resource and scope to `request`, and return it."""
    return request.resource_spans.add(resource=place.resource).scope_spans.add(scope=place.scope).spans


def places_of_logs(request: ExportLogsServiceRequest) -> Places:
    """Yield the lists of log records in `request`."""
    path = "resource_logs[{}].scope_logs[{}].log_records"
    for i, group in enumerate(request.resource_logs):
        for j, scope in enumerate(group.scope_logs):
            yield Place(scope.log_records, group.resource, scope.scope, path, (i, j))


def add_place_of_logs(request: ExportLogsServiceRequest, place: Place) -> Any:
    """Add an empty list of log records under the place's resource and scope to `request`, and return it."""
    return request.resource_logs.add(resource=place.resource).scope_logs.add(scope=place.scope).log_records


def check_traces(request: ExportTraceServiceRequest, size: int, limits: ItemLimits) -> Validation:
    """Remove the invalid spans from `request`, and adjust those that end before they start.

    Args:
        size: that of the request, in bytes.
        limits: what a request may hold.
    """
    validation = _check(places_of_spans(request), lambda _: _span_fault, _span_excess, size, limits)
    for place in _without_own(places_of_spans(request), validation):
        for span in place.items:
            if span.end_time_unix_nano < span.start_time_unix_nano:
                # A clock was set back, or the end is missing. The span's content is good, so its duration becomes 0.
                span.end_time_unix_nano = span.start_time_unix_nano
                validation.adjusted[END_BEFORE_START] += 1
    return validation


def _without_own(places: Places, validation: Validation) -> Places:
    """Yield the places; remove the spans that a qualitrace server recorded about itself."""
    resource, of_server = None, False
    for place in places:
        if place.resource is not resource:  # many scopes may be under one
            resource, of_server = place.resource, is_of_server(place.resource)
        if place.items and (of_server or place.scope.name == SCOPE):
            validation.kept -= len(place.items)
            validation.reject("own", place, 0, len(place.items))
            del place.items[:]
        yield place


def check_logs(request: ExportLogsServiceRequest, size: int, limits: ItemLimits) -> Validation:
    """Remove the log records from `request` that carry no content of a GenAI span.

    Args:
        size: that of the request, in bytes.
        limits: what a request may hold.
    """
    return _check(places_of_logs(request), _record_rule, _record_excess, size, limits)


def reject_foreign(places: Places, foreign: Set[bytes], validation: Validation) -> None:
    """Remove the items of these traces, which belong to other tenants, and note them in `validation`."""
    for items, *_ in places:
        indexes = {index for index, item in enumerate(items) if item.trace_id in foreign}
        if indexes:
            validation.kept -= len(indexes)
            validation.rejected["tenant"] += len(indexes)
            # Not the path of the first one: items that were removed before have moved it.
            validation.first.setdefault("tenant", f"trace_id {items[min(indexes)].trace_id.hex()}")
            _remove(items, indexes)


def _span_fault(span: Span) -> str | None:
    trace_id, span_id = span.trace_id, span.span_id
    if len(trace_id) != 16 or trace_id == _NO_TRACE_ID:
        return "trace_id"
    if len(span_id) != 8 or span_id == _NO_SPAN_ID:
        return "span_id"
    if len(span.parent_span_id) not in (0, 8):
        return "parent_span_id"
    return None


def _record_rule(scope: InstrumentationScope) -> Callable[[LogRecord], str | None]:
    genai_scope = scope.name.startswith(GENAI_SCOPES)

    def fault(record: LogRecord) -> str | None:
        if len(record.trace_id) != 16 or record.trace_id == _NO_TRACE_ID:
            return "trace_id"
        if len(record.span_id) != 8 or record.span_id == _NO_SPAN_ID:
            return "span_id"
        return None if genai_scope or _is_genai(record) else "not_genai"

    return fault


def _is_genai(record: LogRecord) -> bool:
    # The event has such a name, which older SDKs send as the attribute `event.name`, or an attribute has.
    return record.event_name.startswith(_GENAI) or any(
        attribute.key.startswith(_GENAI)
        or (attribute.key == "event.name" and attribute.value.string_value.startswith(_GENAI))
        for attribute in record.attributes
    )


def _span_excess(span: Span, limits: ItemLimits) -> str | None:
    events, links, most = span.events, span.links, limits.attributes
    if len(span.attributes) > most:
        return "attributes"
    if not events and not links:  # as most spans
        return None
    if len(events) > limits.events:
        return "events"
    if len(links) > limits.links:
        return "links"
    return "attributes" if any(len(part.attributes) > most for part in (*events, *links)) else None


def _record_excess(record: LogRecord, limits: ItemLimits) -> str | None:
    return "attributes" if len(record.attributes) > limits.attributes else None


def _check(
    places: Places,
    rule: Callable[[InstrumentationScope], Callable[[Any], str | None]],
    excess: Callable[[Any, ItemLimits], str | None],
    size: int,
    limits: ItemLimits,
) -> Validation:
    """Remove the items in which the rule for their scope finds a fault, or that hold too much; both are in `_RULES`."""
    validation = Validation(limits)
    room = limits.spans
    # Most requests are too small to hold too much: an attribute takes two bytes or more.
    counted = size > 2 * min(limits.attributes, limits.events, limits.links)
    measured = size > min(limits.span_size, limits.trace_size)
    sizes = Counter[bytes]()
    # So are most for a large resource or scope.
    shares_much = size > min(2 * limits.shared_attributes, limits.shared_size)
    for place in _with_small_shares(places, validation) if shares_much else places:
        items = place.items
        if len(items) > room:
            validation.reject("spans", place, room, len(items) - room)
            del items[room:]
        room -= len(items)
        fault_of = rule(place.scope)
        faults: set[int] = set()
        for index, item in enumerate(items):
            fault = fault_of(item)
            if fault is None and counted:
                fault = excess(item, limits)
            if fault is None and measured:
                fault = _size_fault(item, sizes, limits)
            if fault:
                validation.reject(fault, place, index)
                faults.add(index)
        validation.kept += len(items) - len(faults)
        if faults:
            _remove(items, faults)
    return validation


def _with_small_shares(places: Places, validation: Validation) -> Places:
    """Yield the places; remove the items that share more than they may."""
    resource, is_large = None, False
    for place in places:
        if place.resource is not resource:  # many scopes may be under one
            resource, is_large = place.resource, _is_large(place.resource, validation.limits)
        if place.items and (is_large or _is_large(place.scope, validation.limits)):
            validation.reject("shared", place, 0, len(place.items))
            del place.items[:]
        yield place


def _is_large(shared: Resource | InstrumentationScope, limits: ItemLimits) -> bool:
    """Whether what many spans share has more than it may."""
    return len(shared.attributes) > limits.shared_attributes or shared.ByteSize() > limits.shared_size


def _size_fault(item: Any, sizes: Counter[bytes], limits: ItemLimits) -> str | None:
    """Return what is wrong with the size of an item; add it to that of its trace if it is kept."""
    size = item.ByteSize()
    if size > limits.span_size:
        return "size"
    if sizes[item.trace_id] + size > limits.trace_size:
        return "trace_size"
    sizes[item.trace_id] += size
    return None


def _remove(items: Any, indexes: Set[int]) -> None:
    # All at once: to delete one by one takes quadratic time.
    kept = [item for index, item in enumerate(items) if index not in indexes]
    del items[:]
    items.extend(kept)
