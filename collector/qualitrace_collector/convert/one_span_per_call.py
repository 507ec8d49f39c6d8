"""One span for each real call of a model, though a framework and a provider's client, or two instrumentors, saw it.

The innermost span is the call: it is closest to the wire. What contains it becomes a chain, and lends it what it
lacks. No span is dropped.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from mlflow.entities import SpanType
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from qualitrace_collector.convert.content import answer_text, question_text
from qualitrace_collector.convert.span_draft import CALL_TYPES, SpanDraft

_GROUPS = (frozenset(CALL_TYPES), frozenset({SpanType.EMBEDDING}))

# A call below a tool or an agent is another call than the one that the tool or agent was called in.
_BARRIERS = frozenset({SpanType.TOOL, SpanType.AGENT})

MAX_DEPTH = 200
"""How far above a call another span of it is looked for: a bound on the time that a hostile trace takes."""

MAX_DELAY = 1_000_000_000
"""Nanoseconds from a call's end to the record of it: Logfire looks up the price of a streamed call before."""

MAX_TWINS = 100
"""How many calls that started before another, and after it, are looked at for its twin: a bound on time, too."""

_said = partial(answer_text, from_model=True)

_LENT = ("inputs", "outputs", "tools", "model", "provider", "usage", "cost", "response_id")


def one_span_per_call(drafts: Sequence[SpanDraft]) -> None:
    """Leave each call one span of a model's type."""
    by_id = {draft.span.span_id: draft for draft in drafts}
    for group in _GROUPS:
        calls = [draft for draft in drafts if draft.type in group]
        if len(calls) > 1:
            _unite_nested(calls, by_id, group)
            _unite_twins([draft for draft in calls if draft.type in group])


def ancestors(draft: SpanDraft, by_id: Mapping[bytes, SpanDraft]) -> Iterator[SpanDraft]:
    """Yield the spans above one, upwards, `MAX_DEPTH` at most; a client's circle of parents is walked once."""
    seen = {draft.span.span_id}
    parent = by_id.get(draft.span.parent_span_id)
    while parent is not None and parent.span.span_id not in seen and len(seen) <= MAX_DEPTH:
        yield parent
        seen.add(parent.span.span_id)
        parent = by_id.get(parent.span.parent_span_id)


def _unite_nested(calls: Sequence[SpanDraft], by_id: Mapping[bytes, SpanDraft], group: frozenset[str]) -> None:
    inside: dict[bytes, list[SpanDraft]] = {}
    for call in calls:
        for above in ancestors(call, by_id):
            if above.type in _BARRIERS:
                break
            if above.type in group:
                inside.setdefault(above.span.span_id, []).append(call)
    for span_id, inner in inside.items():
        innermost = [call for call in inner if call.span.span_id not in inside]
        _absorb(by_id[span_id], innermost)


def _unite_twins(calls: Sequence[SpanDraft]) -> None:
    """Unite spans of two instrumentors that stand side by side for one response, or one failed request.

    The one that lies within the other's time is the call.
    """
    seen: dict[Any, list[SpanDraft]] = {}
    for call in sorted(calls, key=_duration):
        keys = list(_traits(call))
        twins = (twin for key in keys for twin in _near(call, seen.get(key, ())))
        inner = next((twin for twin in twins if _is_twin(twin, call)), None)
        if inner is not None:
            _absorb(call, [inner])
            continue
        for key in keys:
            insort(seen.setdefault(key, []), call, key=_start)


def _traits(call: SpanDraft) -> Iterator[Any]:
    """Yield what twins have in common: the response's id, its counts, or that there was none."""
    if call.response_id:
        yield call.response_id
    if call.usage:
        yield _counts(call)
    if failed(call):
        yield Status.STATUS_CODE_ERROR


def unite_across_traces(traces: Sequence[Sequence[SpanDraft]]) -> None:
    """Find calls that two traces of one service tell, and count them once, where the other trace tells more.

    An instrumentor that does not make its span current leaves the spans below it without a parent: those of the
    Anthropic client's own telemetry, and those of a provider's client below OpenInference's callbacks for LangChain.
    """
    calls = [draft for drafts in traces for draft in drafts if draft.type in CALL_TYPES and not draft.native]
    if len({call.scope for call in calls}) < 2:
        return
    told = sorted((call for call in calls if call.inputs is not None), key=_start)
    by_counts: dict[Any, list[SpanDraft]] = {}
    for call in told:
        by_counts.setdefault(_counts(call), []).append(call)
    taken: set[tuple[bytes, bytes, str]] = set()
    for call in calls:
        if _is_bare(call):
            twins = _near(call, told)
        elif call.span.parent_span_id:
            continue
        else:
            twins = (twin for twin in _near(call, by_counts.get(_counts(call), ())) if _lies_within(call, twin))
        _leave_to_twin(call, [twin for twin in twins if call.span.trace_id != twin.span.trace_id], taken)


def _near(call: SpanDraft, ordered: Sequence[SpanDraft]) -> Sequence[SpanDraft]:
    """Return of calls in order of their start those that started next before and after this one."""
    at = bisect_left(ordered, _start(call), key=_start)
    return ordered[max(0, at - MAX_TWINS) : at + MAX_TWINS]


def _start(draft: SpanDraft) -> int:
    return draft.span.start_time_unix_nano


def _is_bare(call: SpanDraft) -> bool:
    """Whether a call has no content: the Anthropic client's own telemetry tells model, id and counts only."""
    return call.inputs is None and call.outputs is None


def _leave_to_twin(call: SpanDraft, twins: Iterable[SpanDraft], taken: set[tuple[bytes, bytes, str]]) -> None:
    """Count a call at the twin that started nearest, unless that counts elsewhere or for another call of this scope."""
    free = [twin for twin in twins if twin.type in CALL_TYPES and (*_identity(twin), call.scope) not in taken]
    found = [twin for twin in free if _is_twin(call, twin)]
    if found:
        start = call.span.start_time_unix_nano
        twin = min(found, key=lambda twin: abs(start - twin.span.start_time_unix_nano))
        taken.add((*_identity(twin), call.scope))
        twin.usage, twin.cost = call.usage or twin.usage, twin.cost or call.cost
        call.type, call.counted, call.cost = SpanType.CHAIN, False, None


def _identity(draft: SpanDraft) -> tuple[bytes, bytes]:
    return draft.span.trace_id, draft.span.span_id


def _is_twin(call: SpanDraft, twin: SpanDraft) -> bool:
    return (
        _may_be_two_instrumentors(call, twin)
        and (_starts_within(call, twin) or _is_bare(call) or _is_bare(twin))
        and _starts_before_end(call, twin)
        and _starts_before_end(twin, call)
        and _same_model(call.model, twin.model)
        and _same_response(call, twin)
    )


def _may_be_two_instrumentors(call: SpanDraft, twin: SpanDraft) -> bool:
    """Whether the scopes differ; of a span that was stored earlier the scope is not known, and only an id tells."""
    if not (call.scope and twin.scope):
        return bool(call.response_id) and call.response_id == twin.response_id
    return call.scope != twin.scope


def _same_model(one: str | None, other: str | None) -> bool:
    """Whether the names are equal, or one of them is a version of the other (`gpt-5-mini-2026-08-07`)."""
    return one == other or bool(one and other and (one.startswith(other) or other.startswith(one)))


def _same_response(call: SpanDraft, twin: SpanDraft) -> bool:
    """Whether both tell one response: by its id, or, as frameworks hide ids, by its counts and texts."""
    if call.response_id and twin.response_id:
        return call.response_id == twin.response_id
    if _counts(call) != _counts(twin) or (_counts(call) == (None, None) and not _tell_alike(call, twin)):
        return False
    return all(
        mine is None or theirs is None or call.read(text, mine) == twin.read(text, theirs)
        for mine, theirs, text in ((call.inputs, twin.inputs, question_text), (call.outputs, twin.outputs, _said))
    )


def _tell_alike(call: SpanDraft, twin: SpanDraft) -> bool:
    """Whether calls without counts have anything else in common: an error, or a text that both tell."""
    return (failed(call) and failed(twin)) or any(
        mine is not None and theirs is not None
        for mine, theirs in ((call.inputs, twin.inputs), (call.outputs, twin.outputs))
    )


def _counts(call: SpanDraft) -> tuple[int | None, int | None]:
    usage = call.usage or {}
    return usage.get("input_tokens"), usage.get("output_tokens")


def _lies_within(inner: SpanDraft, outer: SpanDraft) -> bool:
    return _starts_within(inner, outer) and inner.span.end_time_unix_nano <= outer.span.end_time_unix_nano


def _starts_before_end(one: SpanDraft, other: SpanDraft) -> bool:
    """Whether a span starts before another ends; a mere record, without a length, may be `MAX_DELAY` late."""
    delay = 0 if _duration(one) else MAX_DELAY
    return one.span.start_time_unix_nano <= other.span.end_time_unix_nano + delay


def _starts_within(inner: SpanDraft, outer: SpanDraft) -> bool:
    return outer.span.start_time_unix_nano <= inner.span.start_time_unix_nano <= outer.span.end_time_unix_nano


def _duration(draft: SpanDraft) -> int:
    return draft.span.end_time_unix_nano - draft.span.start_time_unix_nano


def _absorb(outer: SpanDraft, inner: Sequence[SpanDraft]) -> None:
    """Turn `outer` into a chain; with a single call inside, lend it what it lacks."""
    if outer.native:
        return
    if len(inner) == 1:
        for name in _LENT:
            if getattr(inner[0], name) is None:
                setattr(inner[0], name, getattr(outer, name))
    outer.type = SpanType.CHAIN
    if len(inner) == 1:
        outer.counted, outer.cost = not inner[0].usage, None


def failed(draft: SpanDraft) -> bool:
    """Whether a span failed."""
    return draft.span.status.code == Status.STATUS_CODE_ERROR
