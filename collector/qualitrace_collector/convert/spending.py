"""Counts the tokens and US dollars of a trace once.

While a trace is converted, `count_once` decides at which spans they count: at the calls, or at a span above that
reports more than they do. Spans above calls usually report the sum of the calls. But an agent may stand alone (Claude's
Agent SDK), or cover calls that report nothing. Where all calls report, a larger sum is no better: Strands' grows over
an agent's life.

`spending` adds up what counts in stored spans by the rule of MLflow's own totals: the spans that report tokens and
have no other such span above them, and likewise costs (`mlflow.tracing.utils.aggregate_usage_from_spans`). The sums
are the same. But where a span only sums up others and names no model, those others count, under their own models.
"""

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.mlflow_span import COST, EMBEDDING_USAGE, MODEL, USAGE, AnySpan
from qualitrace_collector.convert.one_span_per_call import ancestors, failed
from qualitrace_collector.convert.span_draft import CALL_TYPES, SpanDraft
from qualitrace_collector.convert.usage import CACHE_READ, CACHE_WRITTEN, INPUT, OUTPUT, REASONING

Amounts = Mapping[str, Any]

_TOKENS, _COST = (INPUT, OUTPUT), ("total_cost",)

# No call takes as many tokens, seconds or dollars: a client that reports more is wrong.
_MOST = 1e15


def count_once(drafts: Sequence[SpanDraft]) -> None:
    """Leave uncounted what is counted elsewhere; `one_span_per_call` must have run before."""
    by_id = {draft.span.span_id: draft for draft in drafts}
    inside: dict[bytes, _Inside] = {}
    for draft in drafts:
        if draft.type in CALL_TYPES or _spends(draft):
            within_tool = False
            for above in ancestors(draft, by_id):
                if _spends(above) and not above.native:
                    inside.setdefault(above.span.span_id, _Inside()).add(draft, within_tool)
                within_tool = within_tool or above.type == SpanType.TOOL
    for span_id, found in inside.items():
        above, sources = by_id[span_id], found.sources(inside)
        reports_more = _reports_more(above, sources, found.has_calls)
        above.cost = above.cost if _costs_more(above, sources, reports_more) else None
        above.counted = above.counted and reports_more


def _spends(draft: SpanDraft) -> bool:
    return draft.counted and draft.type != SpanType.EMBEDDING and (draft.usage is not None or draft.cost is not None)


@dataclass(slots=True)
class _Inside:
    """What is below a span that reports tokens or costs.

    Attributes:
        has_calls: whether any call was made outside of tools.
    """

    calls: list[SpanDraft] = field(default_factory=list[SpanDraft])
    others: list[SpanDraft] = field(default_factory=list[SpanDraft])
    has_calls: bool = False

    def add(self, draft: SpanDraft, within_tool: bool) -> None:
        is_call = draft.type in CALL_TYPES
        (self.calls if is_call else self.others).append(draft)
        self.has_calls = self.has_calls or (is_call and not within_tool)

    def sources(self, inside: Container[bytes]) -> Sequence[SpanDraft]:
        """Return the calls; if there are none, the lowest spans that report tokens or costs."""
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
        return False  # some libraries state 0 if they do not know the cost
    if not stated:
        return True
    is_partial = reports_more or len(stated) < len([source for source in sources if source.usage or source.cost])
    return is_partial and above.cost["total_cost"] >= sum(stated)


def _sum(calls: Iterable[SpanDraft], name: str) -> int:
    return sum((call.usage or {}).get(name, 0) for call in calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanUsage:
    """Tokens and dollars that count at one span.

    Attributes:
        model: None if neither the span nor any below it names one, or those below name several.
        input: all tokens of the input; `cached` of them were read from a cache, `cache_written` written to one.
        output: all tokens of the output; `reasoning` of them are reasoning.
        cost_usd: None if it is not known, or stands at another span.
        embedding: an embedding's tokens, which MLflow's total of a trace leaves out.
    """

    span_id: str
    model: str | None
    input: float = 0
    output: float = 0
    cached: float = 0
    cache_written: float = 0
    reasoning: float = 0
    cost_usd: float | None = None
    embedding: bool = False


def spending(spans: Sequence[AnySpan]) -> list[SpanUsage]:
    """Return what the spans of one trace spent, at the spans where it counts."""
    tree = _Tree(spans)
    embeddings, usages, costs = (
        dict(tree.counted(key, sums)) for key, sums in ((EMBEDDING_USAGE, _TOKENS), (USAGE, _TOKENS), (COST, _COST))
    )
    found: list[SpanUsage] = []
    for span in spans:
        usage, embedding, cost = (amounts.get(span.span_id) for amounts in (usages, embeddings, costs))
        if usage is None and embedding is None and cost is None:
            continue
        tokens: Amounts = usage or embedding or {}
        found.append(
            SpanUsage(
                span_id=span.span_id,
                model=tree.model_of(span),
                input=_of(tokens, INPUT),
                output=_of(tokens, OUTPUT),
                cached=_of(tokens, CACHE_READ),
                cache_written=_of(tokens, CACHE_WRITTEN),
                reasoning=_of(tokens, REASONING),
                cost_usd=countable((cost or {}).get("total_cost")),
                embedding=usage is None and embedding is not None,
            )
        )
    return found


def countable(value: Any) -> float | None:
    """Return what a client reported, None if it cannot be counted: one NaN would stay in a counter for ever."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if 0 <= value < _MOST else None


def _of(amounts: Amounts, key: str) -> float:
    return countable(amounts.get(key)) or 0


class _Tree:
    """The spans by their parents. Spans in a circle of parents count nowhere, as in MLflow."""

    def __init__(self, spans: Sequence[AnySpan]) -> None:
        ids = {span.span_id for span in spans}
        self._roots = [span for span in spans if not span.parent_id or span.parent_id not in ids]
        self._children: dict[str, list[AnySpan]] = {}
        for span in spans:
            self._children.setdefault(span.parent_id or "", []).append(span)

    def counted(self, key: str, sums: Sequence[str]) -> Iterator[tuple[str, Amounts]]:
        """Yield the ids of the spans whose amounts under this attribute count, with the amounts.

        Args:
            sums: the amounts in which a span that sums up others must agree with them.
        """
        found = self._topmost(self._roots, key)
        while found:
            span, amounts = found.pop()
            below = [] if span.get_attribute(MODEL) else self._topmost(self._children.get(span.span_id, ()), key)
            if below and _add_up(below, amounts, sums):
                found += below
            else:
                yield span.span_id, amounts

    def model_of(self, span: AnySpan) -> str | None:
        """Return a span's model, or else the only one below it."""
        if own := span.get_attribute(MODEL):
            return str(own)
        models: set[str] = set()
        stack = list(self._children.get(span.span_id, ()))
        while stack:
            below = stack.pop()
            stack += self._children.get(below.span_id, ())
            if model := below.get_attribute(MODEL):
                models.add(str(model))
        return models.pop() if len(models) == 1 else None

    def _topmost(self, spans: Sequence[AnySpan], key: str) -> list[tuple[AnySpan, Amounts]]:
        found: list[tuple[AnySpan, Amounts]] = []
        stack = list(spans)
        while stack:
            span = stack.pop()
            if isinstance(amounts := span.get_attribute(key), dict):
                found.append((span, amounts))
            else:
                stack += self._children.get(span.span_id, ())
        return found


def _add_up(parts: Sequence[tuple[AnySpan, Amounts]], whole: Amounts, keys: Sequence[str]) -> bool:
    return all(
        math.isclose(sum(_of(amounts, key) for _, amounts in parts), _of(whole, key), rel_tol=1e-9) for key in keys
    )
