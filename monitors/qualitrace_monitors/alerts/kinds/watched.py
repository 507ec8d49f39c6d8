"""What the kinds share that bet on values: how rules take bets, and how a change is described."""

import itertools
import math
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from qualitrace_monitors.alerts.kinds.kind import Finding
from qualitrace_monitors.alerts.new_scores import Bet
from qualitrace_monitors.alerts.rule_watch import Change, RuleWatch
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import AlertStatus
from qualitrace_monitors.alerts.watch import REFERENCE
from qualitrace_monitors.moments import minute

Key = tuple[str, str]
"""A rule, by its name, and a service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched(Finding):
    """A finding by a watch, which keeps the promise of `false_alarms`; None before the first value."""

    watch: RuleWatch | None

    @property
    def began_at(self) -> float | None:
        """Roughly when the change began."""
        since = math.nan if self.watch is None else self.watch.change.since
        return None if math.isnan(since) else since

    @property
    def watched(self) -> RuleWatch:
        """The watch of an alert that changes its state, which only a watch can make it do."""
        if self.watch is None:
            raise ValueError(f"nothing is known of {self.service} that could fire {self.rule.name}")
        return self.watch


def bet(connection: sqlite3.Connection, bets: Iterable[tuple[AlertRule, Bet]], now: float) -> None:
    """Let rules take bets, each on traffic that it is about, in the caller's transaction."""
    watches = KeptWatches(connection)
    for rule, taken in bets:
        watches.take(rule, taken, now)
    for watch in watches.all_changed():
        watch.save(connection)


class Watches:
    """The watches of some rules, while they take bets.

    Args:
        firing: the alerts that fire, by rule and service; a new watch of one of them has to show a recovery.

    Attributes:
        all: by the rule's name and service.
        changed: how many bets each has taken; those alone that were offered any.
    """

    def __init__(self, firing: Collection[Key] = ()) -> None:
        self.all: dict[Key, RuleWatch] = {}
        self.changed: dict[Key, int] = {}
        self._firing = firing
        self._numbers: dict[str, set[int]] = {}

    def take(self, rule: AlertRule, bet: Bet, now: float) -> None:
        """Let a rule take a bet on traffic that it is about; `now` is in Unix seconds."""
        key = rule.name, bet.service
        watch = self.all.get(key) or self._kept(rule, bet.service, now)
        if watch is None or watch.is_outdated(now):
            number = self._next_number(rule) if watch is None else watch.number
            watch = RuleWatch(rule, bet.service, number, fires=self._fires(key))
        self.all[key] = watch
        self.changed[key] = self.changed.get(key, 0) + watch.take(bet)

    def all_changed(self) -> list[RuleWatch]:
        """Return the watches that were offered bets."""
        return [self.all[key] for key in self.changed]

    def _kept(self, rule: AlertRule, service: str, now: float) -> RuleWatch | None:
        """Return a watch that is kept elsewhere."""
        return None

    def _fires(self, key: Key) -> bool:
        return key in self._firing

    def _kept_numbers(self, rule: AlertRule) -> set[int]:
        """Return the numbers that services of a rule have whose watches are kept elsewhere."""
        return set()

    def _next_number(self, rule: AlertRule) -> int:
        taken = self._numbers.get(rule.name)
        if taken is None:
            taken = self._numbers[rule.name] = self._kept_numbers(rule)
        number = next(number for number in itertools.count(1) if number not in taken)
        taken.add(number)
        return number


class KeptWatches(Watches):
    """Watches that are kept in the state database: each is read when a bet on it comes, as most have none."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__()
        self._connection = connection

    def _kept(self, rule: AlertRule, service: str, now: float) -> RuleWatch | None:
        return RuleWatch.load(self._connection, rule, service, now)

    def _fires(self, key: Key) -> bool:
        status = AlertStatus.load(self._connection, *key)
        return status is not None and status.fired_at is not None

    def _kept_numbers(self, rule: AlertRule) -> set[int]:
        return RuleWatch.numbers(self._connection, rule)


def change_text(watch: RuleWatch, values: str, *, signed: bool = False) -> str:
    """Say what a mean is since its change: `0.71 in about 93 answers since …, was 0.95 (threshold …)`.

    Args:
        values: what is counted, unless that is sessions.
        signed: the mean is a difference.
    """
    rule, change = watch.rule, watch.change
    mean = f"{change.mean:{'+' if signed else ''}.2f}"
    before = "" if change.before is None else f", was {change.before:.2f}"
    return f"{mean} in {since_text(change, values)}{before} ({limit_text(rule)}, {promise_text(rule)})"


def since_text(change: Change, values: str) -> str:
    """Say over how many values, or sessions, and since when: `about 93 answers since 14:05`."""
    counted = "sessions" if change.of_sessions else values
    return f"about {change.count:.0f} {counted} since {minute(change.since)}"


def limit_text(rule: AlertRule) -> str:
    """Say where the rule draws the line."""
    when = rule.when
    if when.reference == "baseline":
        return f"a drop of more than {when.threshold:g} from its first {REFERENCE:,.0f} values"
    return f"a drop of more than {when.threshold:g}" if when.reference else f"threshold {when.threshold:g}"


def promise_text(rule: AlertRule) -> str:
    """Say how rarely the rule errs."""
    return f"false alarms at most {rule.false_alarms}"
