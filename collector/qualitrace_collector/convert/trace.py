"""Converts a piece of an OTLP trace to spans in MLflow's form.

MLflow has a translation of its own, but it knows fewer dialects and builds its entities twice.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any

from mlflow.entities import Span as MlflowSpan
from mlflow.entities import SpanType
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource as SdkResource

from qualitrace_collector.convert.content.documents import documents
from qualitrace_collector.convert.dialects import read_span
from qualitrace_collector.convert.estimated_usage import ESTIMATED, estimate_usage
from qualitrace_collector.convert.mlflow_span import USAGE, AnySpan, StoredSpan, stored_span
from qualitrace_collector.convert.one_span_per_call import one_span_per_call, unite_across_traces
from qualitrace_collector.convert.otlp_values import any_value, attribute_values
from qualitrace_collector.convert.restored_span import restored
from qualitrace_collector.convert.root import as_identities, complete_root, take_origin, take_resource_identity
from qualitrace_collector.convert.span_draft import Event, SpanDraft
from qualitrace_collector.convert.spending import count_once
from qualitrace_collector.convert.trace_tags import tag_root
from qualitrace_collector.piece import Piece, SpanRecord, links_of, local_roots

# The default of OpenTelemetry's resource specification for a missing `service.name`.
UNKNOWN_SERVICE = "unknown_service"

# The root's attribute that says how many of the trace's spans were left out.
LEFT_OUT = "qualitrace.spans_left_out"
_COUNT = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, kw_only=True)
class ConvertedTrace:
    """The spans of one trace in MLflow's form.

    Attributes:
        trace_id: MLflow's (`tr-` and 32 hex digits).
        service: the service under which the trace is stored and counted.
        stored: the spans as MLflow's stores keep them, the local root first.
        renewed: ids of the spans that were stored earlier and that this piece changed.
        is_genai: whether a GenAI library recorded any of the spans.
        tracestate: the local root's; it records head sampling.
        whole: all spans of the trace, those stored earlier included, once its local root has come; empty until then.
        late: whether another piece of the trace was recorded before.
    """

    trace_id: str
    service: str
    stored: tuple[StoredSpan, ...]
    is_genai: bool
    tracestate: str
    piece: Piece
    renewed: frozenset[str] = frozenset()
    whole: Sequence[AnySpan] = ()
    late: bool = False

    @property
    def resource(self) -> Resource:
        """The resource from which the trace's tags are made; an empty one if only log records came."""
        return self.piece.spans[0].resource if self.piece.spans else Resource()

    @cached_property
    def spans(self) -> tuple[MlflowSpan, ...]:
        """The spans as MLflow's entities, as they will read back."""
        spans = tuple(MlflowSpan.from_dict(span.data) for span in self.stored)
        resource = SdkResource(attribute_values(self.resource.attributes))
        for span in spans:  # MLflow makes the trace's tags from their resource
            span._span._resource = resource  # pyright: ignore[reportPrivateUsage]
        return spans

    def without(self, span_ids: Container[str]) -> "ConvertedTrace":
        """Return the trace without the spans of these ids (16 hex digits)."""
        return replace(self, stored=tuple(span for span in self.stored if span.span_id not in span_ids))


def mlflow_trace_id(piece: Piece) -> str:
    """Return the id that MLflow gives to an OpenTelemetry trace."""
    return f"tr-{piece.trace_id.hex()}"


def service_of(piece: Piece) -> str:
    """Return `service.name` of the local root's resource, or else of any of the piece's resources."""
    tops = local_roots(piece.spans, lambda record: links_of(record.span))
    return _resource_text("service.name", (*tops, *piece.spans)) or UNKNOWN_SERVICE


def convert(piece: Piece, service: str, earlier: Sequence[MlflowSpan] = ()) -> ConvertedTrace:
    """Convert the spans of one trace, with the content of their log records.

    Args:
        earlier: the trace's spans that are stored already.

    Raises:
        ValueError: a span cannot be expressed in MLflow's form.
    """
    return _converted(piece, service, _drafts(piece), _earlier_drafts(piece, earlier))


def convert_all(
    pieces: Iterable[tuple[Piece, str]], earlier: Mapping[str, Sequence[MlflowSpan]] | None = None
) -> tuple[list[ConvertedTrace], list[tuple[Piece, str, Exception]]]:
    """Convert pieces that are due together, each with its service.

    They are converted together because two instrumentors without a common parent make two traces of one call.

    Args:
        earlier: the spans that are stored already, by MLflow's trace id.

    Returns:
        The converted traces, and the pieces that cannot be converted, each with its service and the error.
    """
    drafted: list[tuple[Piece, str, list[SpanDraft], list[SpanDraft]]] = []
    converted: list[ConvertedTrace] = []
    failures: list[tuple[Piece, str, Exception]] = []
    for piece, service in pieces:
        try:
            known = _earlier_drafts(piece, (earlier or {}).get(mlflow_trace_id(piece), ()))
            drafted.append((piece, service, _drafts(piece), known))
        except Exception as error:  # nothing that a client sends may stop the others
            failures.append((piece, service, error))
    by_process: dict[tuple[str, str, str], list[list[SpanDraft]]] = {}
    for piece, service, drafts, _ in drafted:
        by_process.setdefault((service, *_process(piece)), []).append(drafts)
    for traces in by_process.values():
        unite_across_traces(traces)
    for piece, service, drafts, known in drafted:
        try:
            converted.append(_converted(piece, service, drafts, known))
        except Exception as error:
            failures.append((piece, service, error))
    return converted, failures


def _process(piece: Piece) -> tuple[str, str]:
    """Return tenant and replica: two of them never record the same call."""
    return piece.tenant, _resource_text("service.instance.id", piece.spans)


def _drafts(piece: Piece) -> list[SpanDraft]:
    """Read the spans: the local root first, the others by their start."""
    if not piece.spans:
        return []
    logs = _events_by_span(piece.logs)
    drafts = [_draft(record, logs.get(record.span.span_id, ())) for record in piece.spans]
    drafts.sort(key=lambda draft: draft.span.start_time_unix_nano)
    root = _local_root(drafts)
    return [root, *(draft for draft in drafts if draft is not root)]


def _local_root(drafts: Iterable[SpanDraft]) -> SpanDraft:
    return local_roots(drafts, lambda draft: links_of(draft.span))[0]


def _earlier_drafts(piece: Piece, earlier: Sequence[MlflowSpan]) -> list[SpanDraft]:
    """Read the stored spans again, each with its log records that came late."""
    if not earlier:
        return []
    logs = _events_by_span(piece.logs)
    resent = {record.span.span_id for record in piece.spans}
    records = [SpanRecord(restored(span), Resource(), InstrumentationScope()) for span in earlier]
    return [
        _draft_again(record, _new_events(record.span, logs.get(record.span.span_id, ())))
        for record in records
        if record.span.span_id not in resent
    ]


def _draft_again(record: SpanRecord, logs: Iterable[Event]) -> SpanDraft:
    """Read a stored span: keep what was found in it before, and let the dialects add only what it lacked."""
    draft = _draft(record, logs)
    draft.inputs = draft.values.get("mlflow.spanInputs", draft.inputs)
    draft.outputs = draft.values.get("mlflow.spanOutputs", draft.outputs)
    if draft.values.get(USAGE, "") is None or ESTIMATED in draft.values:  # not counted, or estimated again
        draft.usage = None
    return draft


def _new_events(span: Span, events: Iterable[Event]) -> list[Event]:
    # Log records are resent by clients, and read again after a crash.
    known = {(event.name, event.time_unix_nano) for event in span.events}
    return [event for event in events if (event.name, event.time) not in known]


def _converted(piece: Piece, service: str, drafts: list[SpanDraft], earlier: list[SpanDraft]) -> ConvertedTrace:
    everything = [*drafts, *earlier]
    before = [_completed_fields(draft) for draft in earlier]
    is_genai = bool(earlier) or any(draft.genai for draft in drafts)
    if is_genai:
        one_span_per_call(everything)
        count_once(everything)
        estimate_usage(everything)
        root = _local_root(everything)
        complete_root(root, everything)
        tag_root(root, everything)
        if piece.excess:
            before_it = str(root.values.get(LEFT_OUT, ""))
            root.added[LEFT_OUT] = str(piece.excess + (int(before_it) if _COUNT.fullmatch(before_it) else 0))
        if piece.root_seen:  # the root's kind shows whether it served somebody
            take_resource_identity(root, piece.spans)
            take_origin(root, piece.spans)
    trace_id = mlflow_trace_id(piece)
    renewed = [
        draft
        for draft, fields in zip(earlier, before, strict=True)
        if len(draft.events) > len(draft.span.events) or _completed_fields(draft) != fields
    ]
    return ConvertedTrace(
        trace_id=trace_id,
        service=service,
        stored=tuple(stored_span(draft, trace_id) for draft in (*drafts, *renewed)),
        is_genai=is_genai,
        tracestate=drafts[0].span.trace_state if drafts else "",
        piece=piece,
        renewed=frozenset(draft.span.span_id.hex() for draft in renewed),
    )


def _completed_fields(draft: SpanDraft) -> tuple[Any, ...]:
    """Return the fields that `complete_root` may fill in."""
    return draft.inputs, draft.outputs, dict(draft.added)


def _draft(record: SpanRecord, logs: Iterable[Event]) -> SpanDraft:
    span = record.span
    events = [Event(event.name, event.time_unix_nano, attribute_values(event.attributes)) for event in span.events]
    draft = SpanDraft(span, record.scope.name, attribute_values(span.attributes), [*events, *logs])
    as_identities(draft.values)
    read_span(draft)
    if draft.type == SpanType.RETRIEVER and not draft.native and draft.outputs is not None:
        draft.outputs = documents(draft.loads(draft.outputs)) or draft.outputs
    return draft


def _resource_text(key: str, records: Iterable[SpanRecord]) -> str:
    """Return the first text that a resource has under this key, empty if none has one."""
    # Spans that came together share their resource: a large one must not be searched for each.
    resources = (next(group).resource for _, group in groupby(records, lambda record: id(record.resource)))
    attributes = (attribute for resource in resources for attribute in resource.attributes)
    return next((found.value.string_value for found in attributes if found.key == key and found.value.string_value), "")


def _events_by_span(logs: Iterable[LogRecord]) -> dict[bytes, list[Event]]:
    """Turn log records into span events, so that the dialects read both: the fields of a body become attributes."""
    events: dict[bytes, list[Event]] = {}
    for record in logs:
        attributes = attribute_values(record.attributes)
        body = any_value(record.body)
        attributes |= body if isinstance(body, dict) else {} if body is None else {"body": body}
        name = record.event_name or str(attributes.get("event.name", ""))
        time = record.time_unix_nano or record.observed_time_unix_nano
        events.setdefault(record.span_id, []).append(Event(name, time, attributes))
    return events
