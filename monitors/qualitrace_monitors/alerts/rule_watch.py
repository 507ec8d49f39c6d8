"""What a rule knows of a service: its watch, kept in the state database, and the bets that it takes."""

import json
import logging
import math
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from qualitrace_monitors.alerts.detector import EDGE
from qualitrace_monitors.alerts.joined_scores import Means
from qualitrace_monitors.alerts.new_scores import Bet
from qualitrace_monitors.alerts.pairs import Pairs, difference_null, difference_of
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import Evidence
from qualitrace_monitors.alerts.watch import Watch

MOST_FRESH = 0.01
"""Share of the period that counts as passed between two bets at most: a service that was silent starts over."""

LEAST_FRESH = 1e-9
"""The share between two bets that came together, or of which the later one is older."""

LATE_SECONDS = 100_000.0
"""How much older a bet may be than one before it: a session lasts an hour, a trace waits a day for a cascade's model.

What is older still is of a clock that was set back.
"""

TIERS = ("local", "scorer", "llm", "joined")  # from the least trusted on

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is known of a change at the moment at which an alert fires.

    Attributes:
        mean: of the rule's quantity since the change.
        count: about how many answers, or sessions, that is.
        since: about when it began, Unix seconds.
        before: the mean before; None if too little was known.
    """

    mean: float
    count: float
    since: float
    before: float | None
    of_sessions: bool


def new_watch(
    rule: AlertRule, number: int = 1, *, streams: int = 1, recovered: float = 0.5, least: float = 0.0, most: float = 1.0
) -> Watch:
    """Make the watch of a rule.

    Args:
        number: which service of the rule it is, from 1 on.
        recovered: above which a drop resolves that fires without a reference of its own.
        streams, least, most: see `Watch`.
    """
    promise, when = rule.false_alarms.chance, rule.when
    if rule.share == "rule":  # the shares of all services, however many come, add up to the whole
        promise /= number * (number + 1)
    new = partial(Watch, alpha=promise, streams=streams, least=least, most=most)
    if when.reference == "control":
        return new(difference_null(when.threshold), reference=0)
    if when.reference == "baseline":
        return new(recovered, drop=when.threshold)
    return new(1 - when.limit if when.operator == ">" else when.limit)


class RuleWatch:
    """The watch of a rule over one service.

    Args:
        number: which service of the rule it is, from 1 on, in the order in which they came.
        fires: the alert fires already, so that a recovery has to be shown: the rule says something else now.
    """

    def __init__(self, rule: AlertRule, service: str, number: int, *, fires: bool = False) -> None:
        self.rule, self.service, self.number = rule, service, number
        self._tier, self._version = "", ""
        self._began_at = 0.0
        self._bets, self._last_at, self._seen_at, self._of_sessions = 0, 0.0, 0.0, False
        self._least, self._most = 0.0, 1.0
        self._rises = rule.when.operator == ">"
        self._pairs = Pairs(rule.canary, rule.control) if rule.canary and rule.control else None
        self._watch = self._new_watch()
        self._watch.firing[0] = fires

    def _new_watch(self, recovered: float = 0.5) -> Watch:
        """Make the watch; a drop that fires without a reference of its own resolves above `recovered`."""
        return new_watch(self.rule, self.number, recovered=recovered, least=self._least, most=self._most)

    @property
    def tier(self) -> str:
        """The tier whose scores it rests on; empty before the first."""
        return self._tier

    @property
    def evidence(self) -> Evidence:
        """Whether the condition holds."""
        if not self._bets:
            return "inconclusive"
        return "established" if self._watch.firing[0] else "recovered"

    @property
    def measured(self) -> tuple[float, float]:
        """The evidence that the condition holds, and the limit at which it counts as established."""
        return float(self._watch.evidence[0]), 1 / self._watch.alpha

    @property
    def change(self) -> Change:
        """What was known when the condition was established."""
        found, before = self._watch.changes, float(self._watch.reference.mean[0])
        return Change(
            mean=self._shown(float(found.mean[0])),
            count=float(found.count[0]),
            since=round(float(found.since[0]), 3),  # a mean of times, which arithmetic puts a hair beside them
            before=None if math.isnan(before) else self._shown(before),
            of_sessions=self._of_sessions,
        )

    @property
    def fallen_below(self) -> float | None:
        """The mean below which there is a drop from the baseline: the lower bound of what it was, less the drop.

        None for other rules, and until enough values came.
        """
        bound = float(self._watch.reference.bound[0])
        known = self.rule.when.reference == "baseline" and not math.isnan(bound)
        return bound - self.rule.when.threshold if known else None

    def _shown(self, mean: float) -> float:
        if self._pairs:
            return difference_of(mean)
        return min(1.0, max(0.0, 1 - mean if self._rises else mean))  # a joined mean may be beyond

    def take(self, bet: Bet) -> bool:
        """Take a bet of the rule's judge on the service; return whether it counts, by its tier and its traffic."""
        if self.rule.tier not in (None, bet.tier) or (self._pairs and not self._pairs.wants(bet)):
            return False
        if self._tier and TIERS.index(bet.tier) < TIERS.index(self._tier):
            return False
        if (bet.tier, bet.version) != (self._tier, self._version):
            if bet.tier == self._tier and 0 < self._began_at - bet.at < LATE_SECONDS:
                return False  # a session that was under way when the version changed
            self._begin(bet)
        self._seen_at = bet.at
        value, resolving, weight = *self._values(bet), bet.weight
        if self._pairs:
            if (pair := self._pairs.take(bet, value, resolving)) is None:
                return True
            value, resolving, weight = pair
        self._watch.take(value, weight, self._fresh(bet.at), bet.at, resolving)
        self._bets += 1
        self._of_sessions = bet.of_session
        return True

    def _fresh(self, at: float) -> float:
        """Return the share of the period that has passed with a bet: no time passes twice, in whatever order bets come.

        Sessions bet when they are over, and single answers at once. Counted from one to the next, the time between
        them would pass again with each.
        """
        passed = at - self._last_at if self._bets else 0.0
        if passed > 0 or not self._bets or passed < -LATE_SECONDS:
            self._last_at = at
        return min(MOST_FRESH, max(LEAST_FRESH, passed / self.rule.false_alarms.period))

    def is_outdated(self, now: float) -> bool:
        """Whether the service was silent for a whole period, at `now` (Unix seconds): what is known is of the past."""
        return now - self._seen_at > self.rule.false_alarms.period

    def _begin(self, bet: Bet) -> None:
        """Forget what another judge version, or tier, found; an alert that fires has to be resolved by this one."""
        if self._tier:
            _log.info(
                "alert %s of %s: the judge is %s %s now, was %s %s; what was known of the service is forgotten",
                self.rule.name,
                self.service,
                bet.tier,
                bet.version,
                self._tier,
                self._version,
            )
        fires, bound = self._watch.firing, float(self._watch.reference.bound[0])
        self._least, self._most = bet.least, bet.most
        self._watch = self._new_watch(0.5 if math.isnan(bound) else max(EDGE, bound - self.rule.when.threshold))
        self._watch.firing = fires
        if self._pairs:
            self._pairs.clear()
        self._tier, self._version, self._bets, self._began_at = bet.tier, bet.version, 0, bet.at

    def _values(self, bet: Bet) -> tuple[float, float]:
        """Return what is bet on where the rule's condition is looked for, and where a recovery is.

        It is the rule's quantity, or its complement where the rule is about a rise.
        """
        high = Means(bet.value, bet.passed, bet.failed)
        both = [self._value(means) for means in (high, bet.low or high)]
        if self._rises:
            both = [1 - value for value in reversed(both)]
        if bet.most > 1:
            return both[0], both[1]
        return min(1.0, max(0.0, both[0])), min(1.0, max(0.0, both[1]))

    def _value(self, means: Means) -> float:
        """Return the rule's quantity.

        What is unsure counts for the service: neither as a fail where too few passes are watched for, nor as a pass
        where too many are.
        """
        quantity = self.rule.when.quantity
        if quantity == "mean_score" or self.rule.when.kind == "requests":
            return means.value
        if quantity == "unsure_rate":
            return 1 - means.passed - means.failed
        return means.passed if self._rises else 1 - means.failed

    @classmethod
    def load(cls, connection: sqlite3.Connection, rule: AlertRule, service: str, now: float) -> Self | None:
        """Read the watch of a service; None if there is none, or one that is outdated at `now` (Unix seconds)."""
        query = "SELECT * FROM alert_watch WHERE rule = ? AND service = ?"
        row = connection.execute(query, (rule.name, service)).fetchone()
        return None if row is None or _is_outdated(row, {rule.name: rule}, now) else cls._from_row(rule, row)

    @staticmethod
    def numbers(connection: sqlite3.Connection, rule: AlertRule) -> set[int]:
        """Return the numbers that services of a rule have."""
        rows = connection.execute("SELECT number FROM alert_watch WHERE rule = ?", (rule.name,))
        return {row["number"] for row in rows}

    @classmethod
    def all_of(
        cls, connection: sqlite3.Connection, rules: Iterable[AlertRule], now: float, last: "LastRead | None" = None
    ) -> list["RuleWatch"]:
        """Read the watches of these rules, but for those that are outdated at `now` (Unix seconds).

        Args:
            last: what the call before has read for the same rules; this one brings it up to date. Of a row that is the
                same the watch is the same, too, so none of them may take a bet.
        """
        by_name = {rule.name: rule for rule in rules}
        names = json.dumps([*by_name])
        rows = connection.execute("SELECT * FROM alert_watch WHERE rule IN (SELECT value FROM json_each(?))", (names,))
        before: LastRead = {} if last is None else last
        found: LastRead = {}
        for row in rows:
            if not _is_outdated(row, by_name, now):
                key = row["rule"], row["service"]
                known, watch = before.get(key, (None, None))
                if watch is None or known != row:
                    watch = cls._from_row(by_name[row["rule"]], row)
                found[key] = row, watch
        before.clear()
        before.update(found)
        return [watch for _, watch in found.values()]

    @staticmethod
    def forget_outdated(connection: sqlite3.Connection, rules: Iterable[AlertRule], now: float) -> None:
        """Delete the watches that `all_of` leaves out, in the caller's transaction."""
        by_name = {rule.name: rule for rule in rules}
        for row in connection.execute("SELECT rule, service, condition, last_at FROM alert_watch").fetchall():
            if _is_outdated(row, by_name, now):
                connection.execute(
                    "DELETE FROM alert_watch WHERE rule = ? AND service = ?", (row["rule"], row["service"])
                )

    @classmethod
    def _from_row(cls, rule: AlertRule, row: sqlite3.Row) -> Self:
        made = cls(rule, row["service"], row["number"])
        state: dict[str, Any] = json.loads(row["state"])
        if "range" in state:
            made._least, made._most = state["range"]
            made._watch = made._new_watch()
        made._watch.load(state["watch"])
        made._tier, made._of_sessions = state["tier"], state["of_sessions"]
        made._version, made._bets, made._seen_at = row["version"], row["bets"], row["last_at"]
        made._last_at, made._began_at = state["bet_at"], state.get("began_at", 0.0)
        if made._pairs:
            made._pairs.load(state["pairs"])
        return made

    def save(self, connection: sqlite3.Connection) -> None:
        """Insert or replace the row, in the caller's transaction."""
        state: dict[str, Any] = {"watch": self._watch.dump(), "tier": self._tier, "of_sessions": self._of_sessions}
        state |= {"bet_at": self._last_at, "began_at": self._began_at}
        if self._most > 1:
            state["range"] = self._least, self._most
        if self._pairs:
            state["pairs"] = self._pairs.dump()
        connection.execute(
            "INSERT OR REPLACE INTO alert_watch VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.rule.name,
                self.service,
                self.number,
                self._version,
                _condition(self.rule),
                json.dumps(state),
                self._bets,
                self._seen_at,
            ),
        )


LastRead = dict[tuple[str, str], tuple[sqlite3.Row, RuleWatch]]
"""Rows and watches by rule and service."""


def _is_outdated(row: sqlite3.Row, rules: Mapping[str, AlertRule], now: float) -> bool:
    """Whether its rule is gone or says something else now, or its service was silent for a whole period."""
    rule = rules.get(row["rule"])
    return rule is None or row["condition"] != _condition(rule) or now - row["last_at"] > rule.false_alarms.period


def _condition(rule: AlertRule) -> str:
    """Return what a watch depends on: a rule that says something else starts over."""
    traffic = f"{rule.service} {rule.match}" if rule.match else rule.service
    compared = f" {rule.canary} {rule.control}" if rule.canary else ""
    return f"{rule.judge} {traffic} {rule.tier} {rule.when} {rule.false_alarms} {rule.share}{compared}"
