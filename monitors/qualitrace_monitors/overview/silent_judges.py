"""Judges that give no score although traces come, and why."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qualitrace_collector.config.values import duration_text
from qualitrace_collector.state import JudgeQueue
from qualitrace_collector.state.requests import Requests
from qualitrace_monitors.judges.build import llm_queue
from qualitrace_monitors.overview.inputs import Inputs

SILENT_SECONDS = 900.0
"""How long a judge may give no score: a queue takes its time."""
EXPECTED = 10.0
"""How many scores must be missing, by the share of the traces that it scored before: a low rate leaves pauses."""

_WRONG = {
    "failed": "its calls fail",
    "budget_skipped": "its budget is spent",
    "expired": "its samples waited too long, and were left out",
}
_MEANT = {
    "not_applicable": "the traces lack what it needs; `qualitrace doctor` says what",
    "not_matched": "the traces are none that its `match` is about",
    "sampled_out": "none was picked at its rate",
}
"""Reasons by the outcome that most of its traces have: what is wrong, and what may be meant so."""
_REASONS = {**_WRONG, **_MEANT}


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentJudge:
    """A judge without scores.

    Attributes:
        last_at: when its last score came, Unix seconds; None if none came.
        waiting: how many samples wait for it.
        is_meant: it may be meant so: there is nothing that it could score.
    """

    judge: str
    last_at: float | None
    waiting: int
    reason: str
    is_meant: bool


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
    if last_trace_at is None:
        return []
    oldest = JudgeQueue(inputs.database).oldest()
    found: list[SilentJudge] = []
    for judge in inputs.config.judges:
        own = (judge.name, llm_queue(judge.name))
        outcomes: dict[str, int] = {}
        for row in totals:
            if row["judge"] in own:
                outcomes[row["outcome"]] = outcomes.get(row["outcome"], 0) + row["total"]
        last = last_scores.get(judge.name)
        waits_since = min((oldest[queue] for queue in own if queue in oldest), default=None)
        waited = 0.0 if waits_since is None else now - waits_since
        if last is None:
            is_silent = _is_late(inputs, judge.name, outcomes, waited)
        else:
            is_silent = last_trace_at - last > SILENT_SECONDS and _missing(inputs, outcomes, last, now) >= EXPECTED
        if is_silent:
            found.append(_silent(judge.name, last, outcomes, waited))
    return found


def _is_late(inputs: Inputs, judge: str, outcomes: Mapping[str, int], waited: float) -> bool:
    """Whether a judge that never scored should have, by now."""
    if outcomes.get("queued") and waited < SILENT_SECONDS:
        return False
    rate = next((inputs.pacing.effective_rate(each) for each in inputs.config.judges if each.name == judge), 0.0)
    picked_out = outcomes.get("sampled_out", 0)
    return any(count for name, count in outcomes.items() if name != "sampled_out") or picked_out * rate >= EXPECTED


def _missing(inputs: Inputs, outcomes: Mapping[str, int], last: float, now: float) -> float:
    """Return how many scores would have come since the last one."""
    requests = sum(row["requests"] for row in Requests.sums(inputs.database.connection(), last, now))
    return requests * outcomes.get("scored", 0) / max(1, sum(outcomes.values()))


def _silent(judge: str, last: float | None, outcomes: Mapping[str, int], waited: float) -> SilentJudge:
    waiting = outcomes.get("queued", 0)
    reasons = {name: count for name, count in outcomes.items() if name in _REASONS and count > 0}
    most = max(reasons, key=lambda name: reasons[name], default="")
    if waiting:
        reason = f"{waiting:,} samples wait for it, the oldest for {duration_text(round(waited))}"
    elif most:
        reason = f"{_REASONS[most]} ({reasons[most]:,} traces)"
    else:
        reason = "no trace was given to it"
    is_meant = last is None and not waiting and most in _MEANT
    return SilentJudge(judge=judge, last_at=last, waiting=waiting, reason=reason, is_meant=is_meant)
