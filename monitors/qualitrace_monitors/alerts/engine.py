"""Evaluates the rules. The scores that are taken, each change of state and its notifications are one transaction.

A paged engineer reads labels, a sentence with the numbers, and the worst traces.
"""

import itertools
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.new_scores import take_bets
from qualitrace_monitors.alerts.rule_watch import RuleWatch
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import AlertStatus, advance
from qualitrace_monitors.estimate.estimator import Estimate, Estimator
from qualitrace_monitors.notify.delivery import Outbox
from qualitrace_monitors.notify.payload import Alert, Links, webhook_payload

TRACES_SHOWN = 3
RATIONALE_CHARACTERS = 300


class AlertEngine:
    """The rules of the configuration over the scores of a state database."""

    def __init__(self, rules: Sequence[AlertRule], database: Database, estimator: Estimator, links: Links) -> None:
        self.rules = rules  # the scrape reads their windows, the dashboard whether there are any
        self._rules = {rule.name: rule for rule in rules}
        self._database = database
        self._estimator = estimator
        self._links = links

    def statuses(self) -> list[tuple[AlertRule, AlertStatus]]:
        """Return each alert as it was at the last evaluation, with its rule, in order of rule and service."""
        saved = AlertStatus.load_all(self._database.connection())
        return [(self._rules[status.rule], status) for status in saved if self._covers(status)]

    def watches(self, now: float) -> list[RuleWatch]:
        """Return what the rules know of each service at `now` (Unix seconds), in order of rule and service."""
        return RuleWatch.all_of(self._database.connection(), self.rules, now)

    def evaluate(self, now: float) -> None:
        """Evaluate every rule at `now`, in Unix seconds, for each service that has data or an active alert.

        An alert whose rule the configuration no longer has is resolved, at the receivers of its firing.
        """
        estimates = {name: self._estimates(rule, now) for name, rule in self._rules.items()}
        while self._take(now):
            pass
        with self._database.transaction() as connection:
            watches = self._watches(now)
            saved = AlertStatus.load_all(connection)
            kept = {(status.rule, status.service): status for status in saved if self._covers(status)}
            for status in saved:
                if not self._covers(status):
                    self._retire(connection, status, now)
            for name, rule in self._rules.items():
                services = {*estimates[name], *(key[1] for key in (*kept, *watches) if key[0] == name)}
                for service in sorted(services):
                    status = kept.get((name, service)) or AlertStatus(rule=name, service=service, judge=rule.judge)
                    watch = watches.get((name, service))
                    found = estimates[name].get(service, {})
                    estimate = found.get(watch.tier) if watch else next(iter(found.values()), None)
                    self._update(connection, rule, status, watch, estimate, now)

    def _watches(self, now: float) -> dict[tuple[str, str], RuleWatch]:
        return {(watch.rule.name, watch.service): watch for watch in self.watches(now)}

    def _take(self, now: float) -> bool:
        """Let the rules bet on the scores that came; return whether there may be more."""
        silence = min((rule.session_silence for rule in self.rules), default=0.0)
        with self._database.transaction() as connection:
            bets, has_more = take_bets(connection, now, silence)
            RuleWatch.forget_outdated(connection, self.rules, now)
            watches = self._watches(now) if bets else {}
            firing = {(status.rule, status.service) for status in AlertStatus.load_all(connection) if status.fired_at}
            changed = dict[tuple[str, str], RuleWatch]()
            for bet in bets:
                for rule in self.rules:
                    if rule.judge == bet.judge and rule.service in (None, bet.service):
                        key = rule.name, bet.service
                        if key not in watches:
                            watches[key] = _new_watch(rule, bet.service, watches, fires=key in firing)
                        changed[key] = watches[key]
                        watches[key].take(bet)
            for watch in changed.values():
                watch.save(connection)
        return has_more

    def _estimates(self, rule: AlertRule, now: float) -> Mapping[str, Mapping[str, Estimate]]:
        """Return the estimates of each service, by tier."""
        found: dict[str, dict[str, Estimate]] = {}
        for estimate in self._estimator.estimates(now, rule.window, judge=rule.judge, service=rule.service):
            found.setdefault(estimate.service, {})[estimate.tier] = estimate
        return found

    def _covers(self, status: AlertStatus) -> bool:
        rule = self._rules.get(status.rule)
        return rule is not None and rule.judge == status.judge and rule.service in (None, status.service)

    def _update(
        self,
        connection: sqlite3.Connection,
        rule: AlertRule,
        before: AlertStatus,
        watch: RuleWatch | None,
        estimate: Estimate | None,
        now: float,
    ) -> None:
        evidence = watch.evidence if watch else "inconclusive"
        after = _measured(advance(before, rule, evidence, now), rule, estimate)
        if watch is not None and after.state != before.state:
            if after.state == "firing":
                after = replace(after, labels=_labels(watch), receivers=rule.notify)
                annotations = _firing_annotations(connection, watch, self._links, now)
                self._notify(connection, after, annotations, now)
            elif before.state == "firing":
                annotations = _resolved_annotations(watch, estimate)
                self._notify(connection, before, annotations, now, ended=True)
                after = replace(after, labels={}, receivers=())
        if after.state == "inactive" and estimate is None:
            after.delete(connection)
        else:
            after.save(connection)

    def _retire(self, connection: sqlite3.Connection, status: AlertStatus, now: float) -> None:
        text = f"the rule {status.rule} no longer covers {status.judge} of {status.service}"
        # A status that does not fire has no receivers, so nobody is notified of its end.
        self._notify(connection, status, {"summary": text, "description": f"{text}."}, now, ended=True)
        status.delete(connection)

    def _notify(
        self,
        connection: sqlite3.Connection,
        status: AlertStatus,
        annotations: dict[str, str],
        now: float,
        *,
        ended: bool = False,
    ) -> None:
        alert = Alert(
            labels=status.labels,
            annotations=annotations,
            starts_at=now if status.fired_at is None else status.fired_at,
            ends_at=now if ended else None,
        )
        for receiver in status.receivers:
            Outbox.put(connection, receiver, webhook_payload(alert, receiver, self._links), now)


def _measured(status: AlertStatus, rule: AlertRule, estimate: Estimate | None) -> AlertStatus:
    if estimate is None:
        return replace(status, value=None, interval=None, samples=0)
    value, interval = estimate.quantity(rule.when.quantity)
    return replace(status, value=value, interval=interval, samples=estimate.samples)


def _new_watch(
    rule: AlertRule, service: str, watches: Mapping[tuple[str, str], RuleWatch], *, fires: bool
) -> RuleWatch:
    taken = {watch.number for (name, _), watch in watches.items() if name == rule.name}
    number = next(number for number in itertools.count(1) if number not in taken)
    return RuleWatch(rule, service, number, fires=fires)


def _labels(watch: RuleWatch) -> dict[str, str]:
    """Return the labels of an alert."""
    return {
        "alertname": watch.rule.name,
        "service": watch.service,
        "judge": watch.rule.judge,
        "tier": watch.tier,
        "severity": watch.rule.severity,
    }


def _firing_annotations(connection: sqlite3.Connection, watch: RuleWatch, links: Links, now: float) -> dict[str, str]:
    """Return summary (the rule's own, if it has one) and description of an alert that begins to fire."""
    sentence = _sentence(watch)
    traces = "".join(f"\n- {line}" for line in _worst_traces(connection, watch, links, now))
    return {"summary": watch.rule.summary or sentence, "description": f"{sentence}. Worst traces:{traces}"}


def _sentence(watch: RuleWatch) -> str:
    """Say what changed: `pass rate 0.71 in about 93 answers since 14:05 UTC, was 0.95`."""
    rule, change = watch.rule, watch.change
    verb = "fell" if rule.when.operator == "<" else "rose"
    counted = "sessions" if change.of_sessions else "answers"
    began = datetime.fromtimestamp(change.since, UTC).strftime("%Y-%m-%d %H:%M UTC")
    before = "" if change.before is None else f", was {change.before:.2f}"
    return (
        f"{rule.judge} of {watch.service} {verb}: {_words(rule)} {change.mean:.2f} in about {change.count:.0f} "
        f"{counted} since {began}{before} (threshold {rule.when.threshold:g}, false alarms at most {rule.false_alarms})"
    )


def _resolved_annotations(watch: RuleWatch, estimate: Estimate | None) -> dict[str, str]:
    """Return summary and description of an alert whose quality recovered."""
    rule = watch.rule
    value = None if estimate is None else estimate.quantity(rule.when.quantity)[0]
    shown = "" if value is None else f": {_words(rule)} {value:.2f} now"
    sentence = f"{rule.judge} of {watch.service} recovered{shown} (threshold {rule.when.threshold:g})"
    return {"summary": sentence, "description": f"{sentence}."}


def _words(rule: AlertRule) -> str:
    return rule.when.quantity.replace("_", " ")


def _worst_traces(connection: sqlite3.Connection, watch: RuleWatch, links: Links, now: float) -> list[str]:
    """Return a line for each of the worst scores: the trace's address, the value and the rationale."""
    rule = watch.rule
    direction = "ASC" if rule.when.operator == "<" or rule.when.quantity == "unsure_rate" else "DESC"
    unsure = "AND label = 'unsure' " if rule.when.quantity == "unsure_rate" else ""
    rows = connection.execute(
        "SELECT trace_id, value, rationale FROM score WHERE judge = ? AND tier = ? AND service = ? "
        f"AND completed_at > ? AND completed_at <= ? AND inclusion_probability > 0 {unsure}"
        f"ORDER BY value {direction}, completed_at DESC LIMIT ?",
        (rule.judge, watch.tier, watch.service, now - rule.window, now, TRACES_SHOWN),
    ).fetchall()
    return [f"{links.trace(row['trace_id'])} scored {row['value']:.2f}: {_shortened(row['rationale'])}" for row in rows]


def _shortened(rationale: str) -> str:
    text = " ".join(rationale.split())
    return text if len(text) <= RATIONALE_CHARACTERS else text[: RATIONALE_CHARACTERS - 1] + "…"
