"""Judges that give no score although traces come, and why."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qualitrace_collector.config.values import duration_text
from qualitrace_monitors.judges.build import llm_queue
from qualitrace_monitors.overview.inputs import Inputs

SILENT_SECONDS = 3600.0
"""How long a judge may give no score: a judge with a rate of 1 % in a quiet service has pauses."""

_REASONS = {
    "failed": "its calls fail",
    "budget_skipped": "its budget is spent",
    "expired": "its samples waited too long, and were left out",
    "not_applicable": "the traces lack what it needs; `qualitrace doctor` says what",
    "not_matched": "the traces are none that it `match`es",
    "sampled_out": "none was picked at its rate",
}
"""By the outcome that most of its traces have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentJudge:
    """A judge without scores.

    Attributes:
        last_at: when its last score came, Unix seconds; None if none came.
        waiting: how many samples wait for it.
    """

    judge: str
    last_at: float | None
    waiting: int
    reason: str


def silent_judges(
    inputs: Inputs,
    now: float,
    *,
    last_scores: Mapping[str, float],
    last_trace_at: float | None,
    totals: Sequence[sqlite3.Row],
) -> list[SilentJudge]:
    """Return the configured judges that have scored nothing of late although traces came.

    Args:
        last_scores: when the last score of each judge came, Unix seconds.
        totals: of the ledger.
    """
    found: list[SilentJudge] = []
    for judge in inputs.config.judges:
        last = last_scores.get(judge.name)
        if last_trace_at is None or (last is not None and last_trace_at - last <= SILENT_SECONDS):
            continue
        own = (judge.name, llm_queue(judge.name))
        outcomes: dict[str, int] = {}
        for row in totals:
            if row["judge"] in own:
                outcomes[row["outcome"]] = outcomes.get(row["outcome"], 0) + row["total"]
        if not outcomes:  # no trace has got to it yet
            continue
        waiting = outcomes.get("queued", 0)
        if last is None and waiting and now - last_trace_at < SILENT_SECONDS and waiting == sum(outcomes.values()):
            oldest = _oldest(inputs, own)
            if oldest is None or now - oldest < SILENT_SECONDS / 60:
                continue  # it has just begun
        reason = _reason(inputs, judge.name, outcomes, waiting)
        found.append(SilentJudge(judge=judge.name, last_at=last, waiting=waiting, reason=reason))
    return found


def _oldest(inputs: Inputs, queues: Sequence[str]) -> float | None:
    query = "SELECT min(completed_at) FROM judgement WHERE status = 'queued' AND judge = ?"
    times = [inputs.database.rows(query, (queue,))[0][0] for queue in queues]
    return min((at for at in times if at is not None), default=None)


def _reason(inputs: Inputs, judge: str, outcomes: Mapping[str, int], waiting: int) -> str:
    if waiting:
        oldest = _oldest(inputs, (judge, llm_queue(judge)))
        age = "" if oldest is None else f", the oldest for {duration_text(round(max(0.0, inputs.clock() - oldest)))}"
        return f"{waiting:,} samples wait for it{age}"
    unscored = {outcome: total for outcome, total in outcomes.items() if outcome in _REASONS and total > 0}
    if not unscored:
        return "no trace was given to it"
    most = max(unscored, key=lambda outcome: unscored[outcome])
    return f"{_REASONS[most]} ({unscored[most]:,} traces)"
