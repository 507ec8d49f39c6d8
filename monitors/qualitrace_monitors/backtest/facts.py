"""Rules that compare a fact, over the past: the kinds' own code, on a database that is filled as the past goes on."""

import math
from collections.abc import Iterator, Mapping, Sequence

from qualitrace_collector.state import Database
from qualitrace_collector.state.requests import MINUTE
from qualitrace_monitors.alerts.kinds.burn_rates import AGAIN_SECONDS, BurnFinding, BurnRates
from qualitrace_monitors.alerts.kinds.kind import Finding, Kind, Look, OwnState, Sources
from qualitrace_monitors.alerts.kinds.silence import SHUT_DOWN, Silence
from qualitrace_monitors.alerts.kinds.spend import Spend
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.notify.payload import Links

KINDS: tuple[type[Kind], ...] = (Silence, Spend, BurnRates)
FACTS = tuple(name for kind in KINDS for name in kind.names)
"""The kinds of conditions that rest on what is kept: when scores came, and sums by the minute."""


class Facts:
    """What rules would have found.

    Args:
        rules: those of the kinds `FACTS`.
        begins: from when on each is looked at, by name, Unix seconds.
        scratch: a state database with what has come so far.

    Attributes:
        due: when a rule may find something else although nothing comes, Unix seconds; infinity for never.
    """

    def __init__(self, rules: Sequence[AlertRule], begins: Mapping[str, float], scratch: Database) -> None:
        sources = Sources(database=scratch, estimator=Estimator(scratch), links=Links(""), own=OwnState())
        by_kind = ((kind, [rule for rule in rules if rule.when.kind in kind.names]) for kind in KINDS)
        self._kinds = [kind(own, sources) for kind, own in by_kind if own]
        self._begins, self._scratch = begins, scratch
        self._burn_rates_at = -math.inf
        self.due = min(begins.values(), default=math.inf)

    def look(self, now: float) -> Iterator[Finding]:
        """Yield what each rule finds at `now` (Unix seconds)."""
        if not self._kinds:
            return
        if now - self._burn_rates_at >= AGAIN_SECONDS:
            self._burn_rates_at = now
        for kind in self._kinds:
            kind.take(Look(now, now))
        self.due = min((at for at in self._begins.values() if at > now), default=math.inf)
        with self._scratch.transaction() as connection:
            found = [
                finding
                for kind in self._kinds
                for rule in kind.rules
                if now >= self._begins[rule.name]
                for finding in kind.find(connection, rule, now).values()
            ]
        for finding in found:
            self.due = min(self.due, self._next(finding, now))
            yield finding

    def _next(self, finding: Finding, now: float) -> float:
        """Return when a finding may change although nothing comes."""
        when, value = finding.rule.when, finding.value
        if isinstance(finding, BurnFinding):
            return self._burn_rates_at + AGAIN_SECONDS if any(finding.rates.values()) else math.inf
        if (not value and when.kind == "spend") or value is None:
            return math.inf
        if when.kind == "spend":
            return (now // MINUTE + 1) * MINUTE
        return now - value + when.threshold + (SHUT_DOWN if value >= when.threshold else 0.0)
