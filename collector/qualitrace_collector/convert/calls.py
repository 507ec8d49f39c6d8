"""One span for each real call of a model, though a framework and a provider's client, or two instrumentors, saw it.

The innermost span is the call: it is closest to the wire. What contains it becomes a chain, and lends it what it
lacks. No span is dropped, and tokens count once.
"""

from collections.abc import Iterator, Mapping, Sequence

from mlflow.entities import SpanType

from qualitrace_collector.convert.draft import CALL_TYPES, Draft

_GROUPS = (frozenset(CALL_TYPES), frozenset({SpanType.EMBEDDING}))
_BARRIERS = frozenset({SpanType.TOOL, SpanType.AGENT})
"""A call below a tool or an agent is another call than the one that the tool or agent was called in."""

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
    """Yield the spans above one, upwards; a client's circle of parents is walked once."""
    seen = {draft.span.span_id}
    parent = by_id.get(draft.span.parent_span_id)
    while parent is not None and parent.span.span_id not in seen:
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
    """Unite spans that stand side by side for one response: the shorter one is the call."""
    by_response: dict[str, list[Draft]] = {}
    for call in calls:
        if call.response_id:
            by_response.setdefault(call.response_id, []).append(call)
    for twins in by_response.values():
        if len(twins) > 1 and len({twin.scope for twin in twins}) == len(twins):
            shortest = min(twins, key=lambda twin: twin.span.end_time_unix_nano - twin.span.start_time_unix_nano)
            for twin in twins:
                if twin is not shortest:
                    _absorb(twin, [shortest])


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
