"""Rules on what a service's models cost or take in an hour: `cost_per_hour > 3`, `tokens_per_hour > 1000000`.

They are facts: sums over all requests of the last hour. What has no known price costs nothing here.
"""

import sqlite3
from collections.abc import Mapping

from qualitrace_collector.state.requests import HOUR, Requests
from qualitrace_monitors.alerts.kinds.fact import Fact, exceeds
from qualitrace_monitors.alerts.kinds.kind import Kind, Look
from qualitrace_monitors.alerts.quantities import written
from qualitrace_monitors.alerts.settings import AlertRule


class Spend(Kind):
    """Watches sums of the last hour."""

    names = ("spend",)

    def take(self, look: Look) -> None:
        """Forget what a clock that was ahead has written, which would count again when the clock gets there."""
        with self.sources.database.transaction() as connection:
            Requests.forget_ahead(connection, look.now)

    def find(self, connection: sqlite3.Connection, rule: AlertRule, now: float) -> Mapping[str, Fact]:
        """Return the sums of the services that had requests lately, also those that had none in the last hour."""
        sums = {row["service"]: row for row in Requests.sums(connection, now - HOUR, now)}
        known = connection.execute("SELECT service FROM last_seen WHERE judge = ''").fetchall()
        services = {*sums, *(row["service"] for row in known)}
        return {name: _fact(rule, name, sums.get(name)) for name in services if rule.covers(name)}


def _fact(rule: AlertRule, service: str, sums: sqlite3.Row | None) -> Fact:
    column, verb, unit = ("usd", "spent", "") if rule.when.form.unit == "USD" else ("tokens", "took", " tokens")
    value = float(sums[column]) if sums else 0.0
    return Fact(
        rule=rule,
        service=service,
        evidence=exceeds(rule, value),
        value=value,
        samples=sums["requests"] if sums else 0,
        sentence=f"{service} {verb} {written(value, rule.when.form.unit)}{unit} in the last hour",
    )
