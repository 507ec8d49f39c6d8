"""Leaves one span for each model call that a framework and a provider's client, or two instrumentors, recorded.

The innermost span is the call, because it is closest to the wire. A span around it becomes a chain, and lends the call
what it lacks. No span is dropped.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from mlflow.entities import SpanType
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from qualitrace_collector.convert.content import answer_text, question_text
from qualitrace_collector.convert.span_draft import CALL_TYPES, SpanDraft

# Levels above a call at which another span of it is looked for. This bounds the time that a hostile trace takes.
MAX_DEPTH = 200

# How many calls that started before a call, and after it, are compared with it. This bounds the time, too.
MAX_TWINS = 100

# Nanoseconds from a call's end to the record of it, as Logfire looks up a streamed call's price before it writes; also
# from the end of a framework's span to the call that it handed up as a stream.
MAX_DELAY = 1_000_000_000

_GROUPS = (frozenset(CALL_TYPES), frozenset({SpanType.EMBEDDING}))

# A call below a tool or an agent is not the call that the tool or agent was called in.
_BARRIERS = frozenset({SpanType.TOOL, SpanType.AGENT})

_LENT = ("inputs", "outputs", "tools", "model", "provider", "usage", "cost", "response_id")

_said = partial(answer_text, from_model=True)


def one_span_per_call(drafts: Sequence[SpanDraft]) -> None:
    """Leave one span of each call with a model's type."""
    by_id = {draft.span.span_id: draft for draft in drafts}
    for group in _GROUPS:
        calls = [draft for draft in drafts if draft.type in group]
        if len(calls) > 1:
            _unite_nested(calls, by_id, group)
            _unite_twins([draft for draft in calls if draft.type in group])


def ancestors(draft: SpanDraft, by_id: Mapping[bytes, SpanDraft]) -> Iterator[SpanDraft]:
    """Yield the spans above one, upwards, at most `MAX_DEPTH`; a circle of parents is followed once."""
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
        _absorb(by_id[span_id], [call for call in inner if call.span.span_id not in inside])


def _unite_twins(calls: Sequence[SpanDraft]) -> None:
    """Unite spans of two instrumentors that stand side by side for one response, or one failed request."""
    seen: dict[Any, list[SpanDraft]] = {}
    # The shorter span lies within the other's time: it is the call.
    for call in sorted(calls, key=_duration):
        traits = list(_traits(call))
        twins = (twin for trait in traits for twin in _near(call, seen.get(trait, ())))
        inner = next((twin for twin in twins if _is_twin(twin, call)), None)
        if inner is not None:
            _absorb(call, [inner])
            continue
        for trait in traits:
            insort(seen.setdefault(trait, []), call, key=_start)


def _traits(call: SpanDraft) -> Iterator[Any]:
    """Yield what twins have in common: the response's id, its counts (or its text, if none came), or an error."""
    if call.response_id:
        yield call.response_id
    if call.usage:
        yield _counts(call)
    elif call.outputs is not None:
        yield call.read(_said, call.outputs)
    if failed(call):
        yield Status.STATUS_CODE_ERROR


def _absorb(outer: SpanDraft, inner: Sequence[SpanDraft]) -> None:
    """Turn `outer` into a chain; if it contains a single call, lend that what it lacks."""
    if outer.native:
        return
    outer.type = SpanType.CHAIN
    if len(inner) == 1:
        (call,) = inner
        for name in _LENT:
            if getattr(call, name) is None:
                setattr(call, name, getattr(outer, name))
        outer.counted, outer.cost = not call.usage, None


def unite_across_traces(traces: Sequence[Sequence[SpanDraft]]) -> None:
    """Count each call once that two traces of one service record, in the trace that records more of it.

    An instrumentor that does not make its span current leaves the spans below it without a parent, in a trace of their
    own. That happens to the spans of the Anthropic client's own telemetry, and to those of a provider's client below
    OpenInference's callbacks for LangChain.
    """
    calls = [draft for drafts in traces for draft in drafts if draft.type in CALL_TYPES and not draft.native]
    if len({call.scope for call in calls}) < 2:
        return
    with_inputs = sorted((call for call in calls if call.inputs is not None), key=_start)
    by_counts: dict[Any, list[SpanDraft]] = {}
    for call in with_inputs:
        by_counts.setdefault(_counts(call), []).append(call)
    taken: set[tuple[int, str]] = set()
    for call in calls:
        if _is_bare(call):
            twins = _near(call, with_inputs)
        elif not call.span.parent_span_id:
            twins = (twin for twin in _near(call, by_counts.get(_counts(call), ())) if _lies_within(call, twin))
        else:
            continue
        _count_at_twin(call, [twin for twin in twins if call.span.trace_id != twin.span.trace_id], taken)


def _near(call: SpanDraft, ordered: Sequence[SpanDraft]) -> Sequence[SpanDraft]:
    """Return the calls that started closest before and after this one; `ordered` are calls by their start."""
    at = bisect_left(ordered, _start(call), key=_start)
    return ordered[max(0, at - MAX_TWINS) : at + MAX_TWINS]


def _count_at_twin(call: SpanDraft, twins: Iterable[SpanDraft], taken: set[tuple[int, str]]) -> None:
    """Count a call at the twin that started closest to it.

    Args:
        taken: a twin's `id()` with each scope whose call is counted there already.
    """
    free = [twin for twin in twins if twin.type in CALL_TYPES and (id(twin), call.scope) not in taken]
    found = [twin for twin in free if _is_twin(call, twin)]
    if found:
        twin = min(found, key=lambda twin: abs(_start(call) - _start(twin)))
        taken.add((id(twin), call.scope))
        twin.usage, twin.cost = call.usage or twin.usage, twin.cost or call.cost
        call.type, call.counted, call.cost = SpanType.CHAIN, False, None


def _is_bare(call: SpanDraft) -> bool:
    """Whether a call has no content: the Anthropic client's own telemetry records model, id and counts only."""
    return call.inputs is None and call.outputs is None


def _is_twin(call: SpanDraft, twin: SpanDraft) -> bool:
    """Whether two libraries recorded one call: they overlap, and agree in the model, and in id or counts and texts."""
    return (
        _may_be_two_instrumentors(call, twin)
        and (_overlap(call, twin) or _is_lazy_stream(call, twin) or _is_lazy_stream(twin, call))
        and _same_model(call.model, twin.model)
        and _same_response(call, twin)
    )


def _overlap(call: SpanDraft, twin: SpanDraft) -> bool:
    return (
        (_starts_within(call, twin) or _is_bare(call) or _is_bare(twin))
        and _starts_before_end(call, twin)
        and _starts_before_end(twin, call)
    )


def _is_lazy_stream(outer: SpanDraft, call: SpanDraft) -> bool:
    """Whether `outer` ended when it had a stream and `call` began when the app read it, as LlamaIndex's streams do."""
    recorded = (outer.inputs, outer.outputs, call.inputs, call.outputs)
    return None not in recorded and 0 <= _start(call) - outer.span.end_time_unix_nano <= MAX_DELAY


def _may_be_two_instrumentors(call: SpanDraft, twin: SpanDraft) -> bool:
    if not (call.scope and twin.scope):  # MLflow does not store the scope, so only the response's id is left
        return bool(call.response_id) and call.response_id == twin.response_id
    return call.scope != twin.scope


def _same_model(one: str | None, other: str | None) -> bool:
    """Whether the names are equal, or one of them is a version of the other (`gpt-5-mini-2026-08-07`)."""
    return one == other or bool(one and other and (one.startswith(other) or other.startswith(one)))


def _same_response(call: SpanDraft, twin: SpanDraft) -> bool:
    """Whether both recorded one response: by its id, or by its counts and texts, as frameworks hide ids."""
    if call.response_id and twin.response_id:
        return call.response_id == twin.response_id
    contents = ((call.inputs, twin.inputs, question_text), (call.outputs, twin.outputs, _said))
    recorded_by_both = [item for item in contents if item[0] is not None and item[1] is not None]
    counts = _counts(call)
    if counts != _counts(twin):
        return False
    if counts == (None, None) and not recorded_by_both and not (failed(call) and failed(twin)):
        return False  # they have nothing in common
    return all(call.read(text, mine) == twin.read(text, other) for mine, other, text in recorded_by_both)


def _counts(call: SpanDraft) -> tuple[int | None, int | None]:
    usage = call.usage or {}
    return usage.get("input_tokens"), usage.get("output_tokens")


def _start(draft: SpanDraft) -> int:
    return draft.span.start_time_unix_nano


def _duration(draft: SpanDraft) -> int:
    return draft.span.end_time_unix_nano - _start(draft)


def _lies_within(inner: SpanDraft, outer: SpanDraft) -> bool:
    return _starts_within(inner, outer) and inner.span.end_time_unix_nano <= outer.span.end_time_unix_nano


def _starts_within(inner: SpanDraft, outer: SpanDraft) -> bool:
    return _start(outer) <= _start(inner) <= outer.span.end_time_unix_nano


def _starts_before_end(one: SpanDraft, other: SpanDraft) -> bool:
    delay = 0 if _duration(one) else MAX_DELAY  # a span without a length is a record of the call, and may be late
    return _start(one) <= other.span.end_time_unix_nano + delay


def failed(draft: SpanDraft) -> bool:
    """Whether a span failed."""
    return draft.span.status.code == Status.STATUS_CODE_ERROR
