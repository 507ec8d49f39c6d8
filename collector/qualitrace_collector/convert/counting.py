"""Tokens and costs count once: at the calls, or at a span above them that reports more than they do.

Spans above calls sum them up; an agent may stand alone (Claude's Agent SDK), or report calls that do not
report theirs. But where all calls report, a larger sum is no better: Strands' grows over an agent's life.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from mlflow.entities import SpanType

from qualitrace_collector.convert.one_span_per_call import ancestors, failed
from qualitrace_collector.convert.span_draft import CALL_TYPES, SpanDraft
from qualitrace_collector.convert.usage import INPUT, OUTPUT


def count_once(drafts: Sequence[SpanDraft]) -> None:
    """Leave uncounted what is counted elsewhere. Calls are to be one span each before (`calls.one_span_per_call`)."""
    by_id = {draft.span.span_id: draft for draft in drafts}
    inside: dict[bytes, _Inside] = {}
    for draft in drafts:
        if draft.type in CALL_TYPES or _spends(draft):
            within_tool = False
            for above in ancestors(draft, by_id):
                if _spends(above) and not above.native:
                    inside.setdefault(above.span.span_id, _Inside()).add(draft, within_tool)
                within_tool = within_tool or above.type == SpanType.TOOL
    believed = [(by_id[span_id], found.sources(inside)) for span_id, found in inside.items()]
    for above, sources in believed:
        reports_more = _reports_more(above, sources, inside[above.span.span_id].has_calls)
        above.cost = above.cost if _costs_more(above, sources, reports_more) else None
        above.counted = above.counted and reports_more


def _spends(draft: SpanDraft) -> bool:
    return draft.counted and draft.type != SpanType.EMBEDDING and (draft.usage is not None or draft.cost is not None)


@dataclass(slots=True)
class _Inside:
    """What is below a span that reports what was spent; `has_calls` says whether it has calls besides its tools'."""

    calls: list[SpanDraft] = field(default_factory=list[SpanDraft])
    others: list[SpanDraft] = field(default_factory=list[SpanDraft])
    has_calls: bool = False

    def add(self, draft: SpanDraft, within_tool: bool) -> None:
        is_call = draft.type in CALL_TYPES
        (self.calls if is_call else self.others).append(draft)
        self.has_calls = self.has_calls or (is_call and not within_tool)

    def sources(self, inside: Container[bytes]) -> Sequence[SpanDraft]:
        """Return the calls, or without any, the lowest spans that report what was spent."""
        return self.calls or [draft for draft in self.others if draft.span.span_id not in inside]


def _reports_more(above: SpanDraft, sources: Sequence[SpanDraft], has_calls: bool) -> bool:
    """Whether the tokens of a span are to be counted instead of those of its sources."""
    known = [source for source in sources if source.usage]
    if not known:
        return True
    is_partial = any(not source.usage and not failed(source) for source in sources)
    if has_calls and not is_partial:
        return False
    return all(_sum(known, name) <= (above.usage or {}).get(name, 0) for name in (INPUT, OUTPUT))


def _costs_more(above: SpanDraft, sources: Sequence[SpanDraft], reports_more: bool) -> bool:
    """Whether the stated cost of a span is to be counted instead of those of its sources."""
    stated = [source.cost["total_cost"] for source in sources if source.cost and "total_cost" in source.cost]
    if above.cost is None or not sources:
        return True
    if not above.cost["total_cost"]:
        return False  # nothing, or not known; what the sources cost is counted instead
    if not stated:
        return True
    is_partial = reports_more or len(stated) < len([source for source in sources if source.usage or source.cost])
    return is_partial and above.cost["total_cost"] >= sum(stated)


def _sum(calls: Iterable[SpanDraft], name: str) -> int:
    return sum((call.usage or {}).get(name, 0) for call in calls)
