"""Deletes what the state database keeps for the monitors, once it is too old for anybody to look at."""

from collections.abc import Iterable

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.budget.spending import Spending
from qualitrace_monitors.estimate import scores
from qualitrace_monitors.judges.cache import VerdictCache
from qualitrace_monitors.notify import history


def prune(database: Database, spending: Spending, rules: Iterable[AlertRule], now: float) -> None:
    """Delete old spending, verdicts, alerts and scores, but no score within the window of a rule."""
    spending.prune(now)
    VerdictCache(database).prune(now)
    history.prune(database, now)
    scores.prune(database, now - max((scores.KEEP_SECONDS, *(rule.window for rule in rules))))
