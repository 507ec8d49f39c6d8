"""Of a trace that belongs to one tenant nothing is taken from another."""

from collections.abc import Set
from typing import Any

from qualitrace_collector.receive.signals import Signal
from qualitrace_collector.receive.validate import Verdict, remove


def trace_ids(signal: Signal, request: Any) -> frozenset[bytes]:
    """Return the ids of all traces that a request has items of."""
    return frozenset(item.trace_id for items in signal.lists(request) for item in items)


def take_out(signal: Signal, request: Any, foreign: Set[bytes], verdict: Verdict) -> None:
    """Take the items of other tenants' traces out of `request` and note them in `verdict`.

    The first is told by its trace id: what was taken out before has moved the places.
    """
    for items in signal.lists(request):
        indexes = {index for index, item in enumerate(items) if item.trace_id in foreign}
        if indexes:
            verdict.kept -= len(indexes)
            verdict.rejected["tenant"] += len(indexes)
            verdict.first.setdefault("tenant", f"trace_id {items[min(indexes)].trace_id.hex()}")
            remove(items, indexes)
