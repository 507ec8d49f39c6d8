"""Rules on what does not come: `no_scores for 15m`, `no_requests for 15m`. They are facts.

Silence is counted by a clock that nobody sets, while this process runs: a wall clock that steps makes none, and neither
does an outage of qualitrace itself. It is kept in the database with each service's last score and request.
"""

import sqlite3
from collections.abc import Mapping, Sequence

from qualitrace_collector.config.values import duration_text
from qualitrace_monitors.alerts.kinds.fact import Fact
from qualitrace_monitors.alerts.kinds.kind import Kind, Look, Sources
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.moments import minute

SHUT_DOWN = 7 * 86_400.0
"""Seconds after which an alert on a service that stays silent ends: somebody has shut it down."""

# What came since the last evaluation (-1) begins to be silent now.
_COUNTED = "CASE WHEN silent < 0 THEN 0 ELSE silent + ? END"


class Silence(Kind):
    """Watches services that had scores, or requests, before."""

    names = ("silence",)

    def __init__(self, rules: Sequence[AlertRule], sources: Sources) -> None:
        super().__init__(rules, sources)
        self._before: float | None = None
        self._forget = max(rule.when.threshold for rule in rules) + 2 * SHUT_DOWN

    def take(self, look: Look) -> None:
        """Count how long it has been silent since the last evaluation."""
        passed = 0.0 if self._before is None else max(0.0, look.steady - self._before)
        self._before = look.steady
        # Requests that wait to be stored are not missing: no_requests says nothing while storing is held up.
        judged = "judge != ''" if self.sources.own.storing_is_held_up(look.now) else "true"
        with self.sources.database.transaction() as connection:
            connection.execute(f"UPDATE last_seen SET silent = {_COUNTED} WHERE {judged}", (passed,))
            connection.execute("DELETE FROM last_seen WHERE silent > ?", (self._forget,))

    def find(self, connection: sqlite3.Connection, rule: AlertRule, now: float) -> Mapping[str, Fact]:
        """Return for how long each service has been silent; of several tiers the last one to score counts."""
        rows = connection.execute(
            "SELECT service, max(at) AS at, max(0, min(silent)) AS silent FROM last_seen "
            "WHERE judge = ? AND (? IS NULL OR tier = ?) GROUP BY service",
            (rule.judge or "", rule.tier, rule.tier),
        ).fetchall()
        return {row["service"]: _fact(rule, row) for row in rows if rule.covers(row["service"])}


def _fact(rule: AlertRule, row: sqlite3.Row) -> Fact:
    service, silent, allowed = row["service"], row["silent"], rule.when.threshold
    what = f"score by {rule.judge} on {service}" if rule.judge else f"request to {service}"
    last = f"the last one was at {minute(row['at'])}"
    gone = silent >= allowed + SHUT_DOWN
    if gone:
        sentence = f"no {what} for {duration_text(allowed + SHUT_DOWN)}, so it counts as shut down: {last}"
    elif silent >= allowed:
        sentence = f"no {what} for {duration_text(round(silent))}, {last}"
    else:
        sentence = f"there is a {what} again, {last}"
    return Fact(
        rule=rule,
        service=service,
        evidence="established" if silent >= allowed and not gone else "recovered",
        value=None if gone else silent,
        sentence=sentence,
    )
