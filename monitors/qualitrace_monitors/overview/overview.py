"""Everything that the overview shows, looked at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from qualitrace_collector.state import Ledger
from qualitrace_monitors.budget.spending import Balance
from qualitrace_monitors.notify.outbox import Outbox
from qualitrace_monitors.overview.alerts import ActiveAlert, active_alerts
from qualitrace_monitors.overview.inputs import Inputs, JournalState
from qualitrace_monitors.overview.problems import Problem, Rate, Receiver, find_problems
from qualitrace_monitors.overview.services import ServiceState, service_states
from qualitrace_monitors.overview.silent_judges import silent_judges

Status = Literal["problems", "ok", "no_scores", "no_traces"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The state of things; times are Unix seconds.

    Attributes:
        alerts: those that fire, then those that are pending.
        services: the worst first.
        traces: how many have each outcome, since the start of the state database.
        waiting: samples that wait for a judge.
        last_trace_at, last_score_at: when the last one came; None if none came.
        journal: None if it cannot be read.
        rules: how many alert rules there are.
    """

    at: float
    alerts: tuple[ActiveAlert, ...]
    problems: tuple[Problem, ...]
    services: tuple[ServiceState, ...]
    traces: Mapping[str, int]
    waiting: int
    last_trace_at: float | None
    last_score_at: float | None
    receivers: tuple[Receiver, ...]
    journal: JournalState | None
    balances: tuple[Balance, ...]
    rates: tuple[Rate, ...]
    rules: int

    @property
    def status(self) -> Status:
        """What the reader should know first."""
        if any(problem.severity != "info" for problem in self.problems) or any(
            alert.state == "firing" for alert in self.alerts
        ):
            return "problems"
        if not any(self.traces.values()):
            return "no_traces"
        return "ok" if self.last_score_at is not None else "no_scores"


def look(inputs: Inputs, containing: str = "") -> Overview:
    """Look at everything now.

    Args:
        containing: of the services' names; empty for all.
    """
    now = inputs.clock()
    totals = Ledger(inputs.database).totals()
    traces: dict[str, int] = {}
    for row in totals:
        if not row["judge"]:
            traces[row["outcome"]] = traces.get(row["outcome"], 0) + row["total"]
    last_scores, last_trace_at = _last_seen(inputs)
    alerts = active_alerts(inputs, now)
    journal, receivers = inputs.journal(), _receivers(inputs)
    balances, rates = inputs.spending.balances(now), _rates(inputs)
    silent = silent_judges(inputs, now, last_scores=last_scores, last_trace_at=last_trace_at, totals=totals)
    problems = find_problems(
        inputs, now, journal=journal, receivers=receivers, balances=balances, rates=rates, silent=silent
    )
    return Overview(
        at=now,
        alerts=tuple(alerts),
        problems=tuple(problems),
        services=tuple(service_states(inputs, now, alerts, containing)),
        traces=traces,
        waiting=sum(row["total"] for row in totals if row["judge"] and row["outcome"] == "queued"),
        last_trace_at=last_trace_at,
        last_score_at=max(last_scores.values(), default=None),
        receivers=tuple(receivers),
        journal=journal,
        balances=tuple(balances),
        rates=tuple(rates),
        rules=len(inputs.alerts.rules),
    )


def _last_seen(inputs: Inputs) -> tuple[dict[str, float], float | None]:
    """Return when each judge's last score came, and the last trace."""
    rows = inputs.database.rows("SELECT judge, max(at) AS at FROM last_seen GROUP BY judge")
    last = {row["judge"]: row["at"] for row in rows}
    trace_at = last.pop("", None)
    return last, trace_at


def _receivers(inputs: Inputs) -> list[Receiver]:
    outbox = Outbox(inputs.database)
    waiting, last = outbox.waiting(), {each.receiver: each for each in outbox.last_deliveries()}
    return [Receiver(name, waiting.get(name), last.get(name)) for name in sorted(inputs.config.notify)]


def _rates(inputs: Inputs) -> list[Rate]:
    return [
        Rate(judge.name, inputs.config.sampling.rate_of(judge), inputs.pacing.effective_rate(judge))
        for judge in inputs.config.judges
    ]
