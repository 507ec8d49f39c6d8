"""What the kinds share that compare a fact with a threshold. They promise nothing about false alarms.

A fact that goes back and forth across its threshold is what `for` and `keep_firing_for` are for.
"""

from dataclasses import dataclass

from qualitrace_monitors.alerts.kinds.kind import Finding
from qualitrace_monitors.alerts.quantities import written
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact(Finding):
    """A fact, as a sentence that holds while it is bad as well as when it is good again."""

    sentence: str

    def fired(self) -> str:
        """Say what is, and what may be."""
        return f"{self.sentence} ({_limit_text(self.rule)}, without a promise about false alarms)"

    def recovered(self) -> str:
        """Say what is now, and what may be."""
        return f"{self.sentence} ({_limit_text(self.rule)})"


def _limit_text(rule: AlertRule) -> str:
    """Say where the rule draws the line."""
    return f"threshold {written(rule.when.threshold, rule.when.form.unit)}"


def exceeds(rule: AlertRule, value: float | None) -> Evidence:
    """Compare a fact with the rule's threshold; None is not a fact."""
    if value is None:
        return "inconclusive"
    return "established" if value > rule.when.threshold else "recovered"
