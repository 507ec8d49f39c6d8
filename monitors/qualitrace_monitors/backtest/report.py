"""What rules would have done, as text and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from qualitrace_collector.config.values import duration_text
from qualitrace_monitors.alerts.kinds.watched import Key, limit_text, promise_text
from qualitrace_monitors.alerts.quantities import KindName
from qualitrace_monitors.alerts.rule_watch import Change
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.backtest.history import History
from qualitrace_monitors.backtest.replay import BETTING, REPLAYED, Course, Firing, needs_minutes
from qualitrace_monitors.moments import instant

SHOWN = 20
"""Alerts of a rule and service that are printed; JSON has all."""

WHY_NOT: Mapping[KindName, str] = {
    "requests": "it bets on single requests, which are not kept: their sums know no order, sessions and durations",
    "own_health": "how qualitrace itself was is not kept: budgets, calls of judges and what waited",
}
"""Why the kinds of rules cannot be replayed that are none of `REPLAYED`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """A replay that has ended; times are Unix seconds."""

    rules: Sequence[AlertRule]
    history: History
    courses: Mapping[Key, Course]
    since: float
    until: float

    def of(self, rule: AlertRule) -> dict[str, Course]:
        """Return what became of a rule, by service: of those that it has bet on, or found a fact about."""
        found = sorted(self.courses.items())
        of_facts = rule.when.kind not in BETTING
        return {service: course for (name, service), course in found if name == rule.name and (of_facts or course.bets)}


def lines(found: Backtest) -> Iterator[str]:
    """Yield the lines of the report."""
    yield f"{found.history.scores:,} scores, {_moment(found.since)} to {_moment(found.until)} UTC"
    if found.history.unweighted:
        yield (
            f"{found.history.unweighted:,} of them are of an earlier version, which did not keep their weights: "
            "no rule bets on them"
        )
    for rule in found.rules:
        yield ""
        promise = f" ({promise_text(rule)})" if rule.when.kind in BETTING else ""
        yield f"{rule.name}: {f'{rule.judge} ' if rule.judge else ''}{rule.when}{promise}"
        if rule.when.kind not in REPLAYED:
            yield f"  cannot be replayed: {WHY_NOT[rule.when.kind]}"
        elif courses := found.of(rule):
            yield from (f"  {note}" for note in _notes(rule, found))
            for service, course in courses.items():
                yield from _course_lines(rule, service, course, found.until)
        else:
            yield f"  nothing to replay: {_why_nothing(rule, found.history)}"


def _notes(rule: AlertRule, found: Backtest) -> Iterator[str]:
    """Yield how a replay of facts differs from what the server found."""
    begins = _moment(found.history.minutes_since)
    is_early = found.since < found.history.minutes_since
    if rule.when.kind == "silence":
        away = "qualitrace or MLflow" if needs_minutes(rule) else "qualitrace"
        yield f"when {away} was away is not kept, and counts as silence here"
    if needs_minutes(rule) and is_early:
        yield f"replayed from {begins} on: older sums of requests are kept by the hour, not by the minute"
    elif rule.when.kind == "spend" and is_early:
        yield f"by the hour until {begins}, as older sums are kept, and then by the minute"


def _why_nothing(rule: AlertRule, history: History) -> str:
    services = history.services.get(rule.judge or "", set())
    what = f"scores by {rule.judge}" if rule.judge else "requests"
    if not services:
        return f"there are no {what} in this time"
    if not any(map(rule.covers, services)):
        return f"it covers none of the services with {what}: {', '.join(sorted(services))}"
    if not rule.judge:
        return f"there are no requests since {_moment(history.minutes_since)}, and older sums are by the hour"
    return f"no score by {rule.judge} is of its traffic, or tier"


def _course_lines(rule: AlertRule, service: str, course: Course, until: float) -> Iterator[str]:
    count, bets = len(course.firings), _bets(rule, course)
    if not count:
        yield f"  {service}: would not have fired{bets}"
        return
    times = "once" if count == 1 else f"{count:,} times"
    fired = time_text(course.firing_seconds(until))
    yield f"  {service}: would have fired {times}, for {fired} in all{bets}"
    for firing in course.firings[:SHOWN]:
        yield f"    {_firing_text(firing, until)}"
    if count > SHOWN:
        yield f"    and {count - SHOWN:,} times more: --json has all"


def _bets(rule: AlertRule, course: Course) -> str:
    return f", {course.bets:,} bets ({limit_text(rule)})" if rule.when.kind in BETTING else ""


def _firing_text(firing: Firing, until: float) -> str:
    if firing.resolved_at is None:
        end = f"fires still, after {time_text(until - firing.fired_at)}"
    else:
        end = f"resolved {_moment(firing.resolved_at)}, after {time_text(firing.resolved_at - firing.fired_at)}"
    return f"fired {_moment(firing.fired_at)}, {end}: {_change_text(firing.change) if firing.change else firing.text}"


def _change_text(change: Change) -> str:
    before = "" if change.before is None else f", was {change.before:.2f}"
    counted = "sessions" if change.of_sessions else "answers"
    return f"{change.mean:.2f} in about {change.count:.0f} {counted} since {_moment(change.since)}{before}"


def as_json(found: Backtest) -> dict[str, Any]:
    """Return the report for JSON: times in RFC 3339, lengths in seconds."""
    return {
        "since": instant(found.since),
        "until": instant(found.until),
        "scores": found.history.scores,
        "scores_without_weight": found.history.unweighted,
        "rules": [_rule_json(rule, found) for rule in found.rules],
    }


def _rule_json(rule: AlertRule, found: Backtest) -> dict[str, Any]:
    named = {"name": rule.name, "judge": rule.judge, "when": str(rule.when)}
    if rule.when.kind not in REPLAYED:
        return {**named, "cannot_be_replayed": WHY_NOT[rule.when.kind]}
    courses = found.of(rule)
    nothing = {} if courses else {"nothing_to_replay": _why_nothing(rule, found.history)}
    promise = {"false_alarms": str(rule.false_alarms)} if rule.when.kind in BETTING else {}
    return {
        **named,
        **promise,
        "notes": [*_notes(rule, found)],
        **nothing,
        "services": [_course_json(service, course, found.until) for service, course in courses.items()],
    }


def _course_json(service: str, course: Course, until: float) -> dict[str, Any]:
    return {
        "service": service,
        "bets": course.bets,
        "firing_seconds": course.firing_seconds(until),
        "alerts": [_firing_json(firing) for firing in course.firings],
    }


def _firing_json(firing: Firing) -> dict[str, Any]:
    times = {
        "fired_at": instant(firing.fired_at),
        "resolved_at": None if firing.resolved_at is None else instant(firing.resolved_at),
        "severity": firing.severity,
    }
    change = firing.change
    if change is None:
        return times | {"summary": firing.text}
    return times | {
        "value": change.mean,
        "before": change.before,
        "count": change.count,
        "counted": "sessions" if change.of_sessions else "answers",
        "began_at": instant(change.since),
    }


def _moment(at: float) -> str:
    """Write a moment to the second; the report's first line says that it is UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def time_text(seconds: float) -> str:
    """Write a length of time to the second: `2d3h5m10s`."""
    return duration_text(round(seconds))
