"""One span for each real call of a model, though a framework and a provider's client, or two instrumentors, saw it.

The innermost span is the call: it is closest to the wire. What contains it becomes a chain, and lends it what it
lacks. No span is dropped, and tokens count once.
"""

from collections.abc import Iterator, Mapping, Sequence

from mlflow.entities import SpanType
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from qualitrace_collector.convert.draft import CALL_TYPES, Draft

_GROUPS = (frozenset(CALL_TYPES), frozenset({SpanType.EMBEDDING}))
_BARRIERS = frozenset({SpanType.TOOL, SpanType.AGENT})
"""A call below a tool or an agent is another call than the one that the tool or agent was called in."""

MAX_DEPTH = 200
"""How far above a call another span of it is looked for: a bound on the time that a hostile trace takes."""

_LENT = ("inputs", "outputs", "tools", "model", "provider", "usage", "cost", "response_id")


def one_span_per_call(drafts: Sequence[Draft]) -> None:
    """Leave each call one span of a model's type, and count its tokens there alone."""
    by_id = {draft.span.span_id: draft for draft in drafts}
    for group in _GROUPS:
        calls = [draft for draft in drafts if draft.type in group]
        if len(calls) > 1:
            _unite_nested(calls, by_id, group)
            _unite_twins([draft for draft in calls if draft.type in group])
    _count_once(drafts, by_id)


def ancestors(draft: Draft, by_id: Mapping[bytes, Draft]) -> Iterator[Draft]:
    """Yield the spans above one, upwards, `MAX_DEPTH` at most; a client's circle of parents is walked once."""
    seen = {draft.span.span_id}
    parent = by_id.get(draft.span.parent_span_id)
    while parent is not None and parent.span.span_id not in seen and len(seen) <= MAX_DEPTH:
        yield parent
        seen.add(parent.span.span_id)
        parent = by_id.get(parent.span.parent_span_id)


def _unite_nested(calls: Sequence[Draft], by_id: Mapping[bytes, Draft], group: frozenset[str]) -> None:
    inside: dict[bytes, list[Draft]] = {}
    for call in calls:
        for above in ancestors(call, by_id):
            if above.type in _BARRIERS:
                break
            if above.type in group:
                inside.setdefault(above.span.span_id, []).append(call)
    for span_id, inner in inside.items():
        innermost = [call for call in inner if call.span.span_id not in inside]
        _absorb(by_id[span_id], innermost)


def _unite_twins(calls: Sequence[Draft]) -> None:
    """Unite spans of two instrumentors that stand side by side for one response, or one failed request.

    The one that lies within the other's time is the call.
    """
    by_response: dict[tuple[str | None, str | None], list[Draft]] = {}
    for call in sorted(calls, key=_duration):
        if not call.response_id and call.span.status.code != Status.STATUS_CODE_ERROR:
            continue
        twins = by_response.setdefault((call.response_id, call.model), [])
        inner = next((twin for twin in twins if twin.scope != call.scope and _starts_within(twin, call)), None)
        if inner is None:
            twins.append(call)
        else:
            _absorb(call, [inner])


def unite_across_traces(traces: Sequence[Sequence[Draft]]) -> None:
    """Find calls without content that another trace tells with content, and count those once.

    The Anthropic client has spans of its own (no content, and counts from the wire), which get no parent if the
    instrumentor beside it does not make its span current: two traces of one call.
    """
    calls = [draft for drafts in traces for draft in drafts if draft.type in CALL_TYPES and not draft.native]
    bare = [call for call in calls if call.inputs is None and call.outputs is None]
    told = [call for call in calls if call.inputs is not None] if bare else []
    for call in bare:
        twins = [twin for twin in told if _is_twin(call, twin)]
        if twins:
            twin = min(twins, key=lambda twin: call.span.start_time_unix_nano - twin.span.start_time_unix_nano)
            twin.usage = call.usage or twin.usage
            call.type, call.counted = SpanType.CHAIN, False


def _is_twin(bare: Draft, told: Draft) -> bool:
    return (
        bare.span.trace_id != told.span.trace_id
        and bare.scope != told.scope
        and bare.model == told.model
        and bare.response_id == told.response_id
        and _starts_within(bare, told)
    )


def _starts_within(inner: Draft, outer: Draft) -> bool:
    return outer.span.start_time_unix_nano <= inner.span.start_time_unix_nano <= outer.span.end_time_unix_nano


def _duration(draft: Draft) -> int:
    return draft.span.end_time_unix_nano - draft.span.start_time_unix_nano


def _absorb(outer: Draft, inner: Sequence[Draft]) -> None:
    """Turn `outer` into a chain; with a single call inside, lend it what it lacks."""
    if outer.native:
        return
    if len(inner) == 1:
        for name in _LENT:
            if getattr(inner[0], name) is None:
                setattr(inner[0], name, getattr(outer, name))
    outer.type = SpanType.CHAIN
    if any(call.usage for call in inner):
        outer.counted = False


def _count_once(drafts: Sequence[Draft], by_id: Mapping[bytes, Draft]) -> None:
    """Believe calls about tokens, not the sums of spans above them (Strands' grows over an agent's life)."""
    for draft in drafts:
        if draft.usage and draft.type in CALL_TYPES:
            for above in ancestors(draft, by_id):
                if above.usage and not above.native:
                    above.counted = False
