"""Rules by error budget: `slo 95% over 30d`, of a judge's scores, or of all requests (an error is bad).

The burn rate is the share of bad answers divided by the share that the objective allows: at 1 the budget lasts exactly
for the period. An alert fires when a rate is too high over a long window and over a short one, which shows that it
still goes on: the four pairs of the Google SRE workbook, "Alerting on SLOs", 6. They are facts: with little traffic a
few bad answers are a high rate.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from qualitrace_collector.config.values import duration_text
from qualitrace_collector.state.requests import Requests
from qualitrace_monitors.alerts.kinds.kind import Finding, Kind, Look, Sources
from qualitrace_monitors.alerts.rule_watch import TIERS
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.estimate.sums import sum_up_linear

LEAST_ANSWERS = 10
"""Scores, or requests, in the long window: of fewer one bad answer is a high rate."""
AGAIN_SECONDS = 30.0
"""How often the windows are summed up: the longest hold half a million scores, and the shortest is five minutes."""

HOUR = 3600.0


class Burn(NamedTuple):
    """A burn rate that is too high over both windows, in seconds."""

    rate: float
    long: float
    short: float
    severity: Literal["page", "ticket"]


BURNS = (
    Burn(14.4, HOUR, HOUR / 12, "page"),
    Burn(6.0, 6 * HOUR, HOUR / 2, "page"),
    Burn(3.0, 24 * HOUR, 2 * HOUR, "ticket"),
    Burn(1.0, 72 * HOUR, 6 * HOUR, "ticket"),
)
"""The most urgent first."""


class Answers(NamedTuple):
    """What came in a window: the share that was bad, and of how many answers."""

    bad: float
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnFinding(Finding):
    """How fast a service burns its error budget.

    Attributes:
        burn: the most urgent pair of windows that is too high; None if none is.
        rates: burn rates by window.
        left: of the budget, as a share; below 0 where it is overspent.
    """

    burn: Burn | None
    rates: Mapping[float, float]
    left: float

    @property
    def severity(self) -> str:
        """`page` or `ticket` by the windows, unless the rule states one."""
        own = "severity" in self.rule.model_fields_set or self.burn is None
        return self.rule.severity if own or self.burn is None else self.burn.severity

    def supersedes(self, labels: Mapping[str, str]) -> bool:
        """Whether what fires as a ticket has become urgent."""
        return (labels.get("severity"), self.severity) == ("ticket", "page")

    def fired(self) -> str:
        """Say which burn rate is too high, and how much of the budget is left."""
        if self.burn is None:
            return self.recovered()
        rate, long, short, _ = self.burn
        return (
            f"{self._subject} burns its error budget too fast: {self.rates[long]:.1f} times the rate that lasts for "
            f"the period over {duration_text(long)}, and {self.rates[short]:.1f} times over {duration_text(short)} "
            f"(limit {rate:g}), {self._left} ({self.rule.when}, without a promise about false alarms)"
        )

    def recovered(self) -> str:
        """Say how fast the budget burns now, and how much of it is left."""
        now = f"{self.rates[HOUR]:.1f} times the rate that lasts for the period"
        return f"{self._subject} burns its error budget at {now} over 1h, {self._left} ({self.rule.when})"

    @property
    def _subject(self) -> str:
        return f"{self.rule.judge} of {self.service}" if self.rule.judge else self.service

    @property
    def _left(self) -> str:
        period = duration_text(self.rule.when.period)
        if self.left < 0:
            return f"the budget of {period} is overspent by {-self.left:.0%}"
        return f"{self.left:.0%} of the budget of {period} is left"


class BurnRates(Kind):
    """Watches error budgets."""

    names = ("slo",)

    def __init__(self, rules: Sequence[AlertRule], sources: Sources) -> None:
        super().__init__(rules, sources)
        self._found: dict[str, Mapping[str, BurnFinding]] = {}
        self._looked: float | None = None

    def take(self, look: Look) -> None:
        """Let the windows be summed up again when it is time."""
        with self.sources.database.transaction() as connection:
            Requests.forget_ahead(connection, look.now)
        if self._looked is None or not 0 <= look.steady - self._looked < AGAIN_SECONDS:
            self._looked = look.steady
            self._found.clear()

    def find(self, connection: sqlite3.Connection, rule: AlertRule, now: float) -> Mapping[str, BurnFinding]:
        """Return how fast each service burns its budget."""
        if rule.name not in self._found:
            self._found[rule.name] = self._look(connection, rule, now)
        return self._found[rule.name]

    def _look(self, connection: sqlite3.Connection, rule: AlertRule, now: float) -> dict[str, BurnFinding]:
        period = rule.when.period
        windows = sorted({period, *(burn.long for burn in BURNS), *(burn.short for burn in BURNS)})
        if rule.judge is None:
            answers = {window: _of_requests(connection, now - window, now) for window in windows}
            return {name: _finding(rule, name, "", answers) for name in answers[period] if rule.covers(name)}
        scores = {window: self._of_scores(rule, now - window, now) for window in windows}
        tiers: dict[str, str] = {}
        for service, tier in sorted(scores[period], key=lambda key: TIERS.index(key[1])):
            tiers[service] = tier  # the most trusted one of those that scored
        by_service = {
            service: {
                window: {service: found[service, tier]} if (service, tier) in found else {}
                for window, found in scores.items()
            }
            for service, tier in tiers.items()
        }
        return {name: _finding(rule, name, tiers[name], answers) for name, answers in by_service.items()}

    def _of_scores(self, rule: AlertRule, start: float, now: float) -> dict[tuple[str, str], Answers]:
        """Return the shares of fails by service and tier: what is unsure is good, as in `pass_rate < …`."""
        rows = sum_up_linear(self.sources.database, start, now, rule.judge or "")
        return {
            (row["service"], row["tier"]): Answers(max(0.0, 1 - row["not_failed_1"] / row["w"]), int(row["samples"]))
            for row in rows
            if rule.covers(row["service"]) and rule.tier in (None, row["tier"]) and row["tier"] in TIERS
        }


def _of_requests(connection: sqlite3.Connection, start: float, now: float) -> dict[str, Answers]:
    rows = [row for row in Requests.sums(connection, start, now) if row["requests"]]  # else only late spans came
    return {row["service"]: Answers(row["errors"] / row["requests"], row["requests"]) for row in rows}


def _finding(rule: AlertRule, service: str, tier: str, answers: Mapping[float, Mapping[str, Answers]]) -> BurnFinding:
    allowed = 1 - rule.when.threshold
    seen = {window: found.get(service, Answers(0.0, 0)) for window, found in answers.items()}
    rates = {window: found.bad / allowed for window, found in seen.items()}
    high = [
        burn
        for burn in BURNS
        if min(rates[burn.long], rates[burn.short]) > burn.rate and seen[burn.long].of >= LEAST_ANSWERS
    ]
    whole = seen[rule.when.period]
    return BurnFinding(
        rule=rule,
        service=service,
        evidence="established" if high else "recovered",
        value=1 - whole.bad,
        samples=whole.of,
        tier=tier,
        burn=high[0] if high else None,
        rates=rates,
        left=1 - rates[rule.when.period],
    )
