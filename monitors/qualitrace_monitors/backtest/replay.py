"""Plays the past through the rules: the engine's own bets, watches, facts and states, by a clock that is simulated.

What differs from `AlertEngine`: nothing is notified, no estimate is made, and watches stay in memory between two
evaluations, since a month has half a million of them.
"""

import heapq
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from qualitrace_collector.state import Database
from qualitrace_collector.state.requests import MINUTE, Requests, seen
from qualitrace_monitors.alerts import joined_scores, new_scores
from qualitrace_monitors.alerts.engine import EVALUATION_SECONDS
from qualitrace_monitors.alerts.kinds.kind import Finding
from qualitrace_monitors.alerts.kinds.score_means import ScoreMeans, offered
from qualitrace_monitors.alerts.kinds.watched import Key, Watches
from qualitrace_monitors.alerts.rule_watch import Change
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import AlertStatus, Evidence, advance
from qualitrace_monitors.backtest.facts import FACTS, Facts
from qualitrace_monitors.backtest.history import PIECE, PastRequests, PastScore
from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.judges.build import Escalation

BETTING = ScoreMeans.names
"""The kinds of conditions whose evidence is single scores."""

REPLAYED = (*BETTING, *FACTS)
"""The kinds of conditions that can be replayed."""


@dataclass(slots=True)
class Firing:
    """An alert from when it fired until it resolved; times are Unix seconds.

    Attributes:
        change: what a rule that bets knew when it fired.
        text: what a rule that compares a fact said then.
        resolved_at: None if it fires still.
    """

    fired_at: float
    severity: str
    change: Change | None = None
    text: str = ""
    resolved_at: float | None = None


@dataclass(slots=True)
class Course:
    """What a rule would have done about a service.

    Attributes:
        bets: on how many answers, or sessions, it has bet.
    """

    bets: int = 0
    firings: list[Firing] = field(default_factory=list[Firing])

    def firing_seconds(self, until: float) -> float:
        """Return how long it has fired in all, until a moment in Unix seconds."""
        return sum((until if each.resolved_at is None else each.resolved_at) - each.fired_at for each in self.firings)


class Replay:
    """Rules over the past.

    Args:
        rules: those to replay, of the kinds `REPLAYED`.
        silence: seconds after which a session is over: the shortest time of all rules of the configuration.
        scratch: an empty state database, for the scores that wait, the sessions under way and sums.
        since: from when on rules are evaluated, Unix seconds; what is older is in sums alone.
        minutes_since: from when on requests are known by the minute, Unix seconds.

    Attributes:
        courses: what became of each rule and service of which something was found.
    """

    def __init__(
        self,
        rules: Sequence[AlertRule],
        silence: float,
        scratch: Database,
        since: float = 0.0,
        minutes_since: float = 0.0,
    ) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self._betting = [rule for rule in rules if rule.when.kind in BETTING]
        facts = [rule for rule in rules if rule.when.kind in FACTS]
        begins = {rule.name: max(since, minutes_since) if needs_minutes(rule) else since for rule in facts}
        self._facts = Facts(facts, begins, scratch)
        self._summed = {rule.judge for rule in facts if rule.when.kind == "slo"}
        self._silence, self._scratch, self._since = silence, scratch, since
        connection = scratch.connection()
        connection.execute("PRAGMA journal_mode=MEMORY")
        connection.execute("PRAGMA synchronous=OFF")
        self._firing: set[Key] = set()
        self._watches = Watches(self._firing)
        self._active: dict[Key, AlertStatus] = {}
        self.courses: dict[Key, Course] = {}

    def run(self, scores: Iterable[PastScore], until: float, requests: Iterable[PastRequests] = ()) -> Iterator[int]:
        """Play what came, in order; yield how many first scores have been, from time to time.

        Args:
            until: when the last session may end, or the last alert fire or resolve, Unix seconds.
        """
        events = heapq.merge(scores, requests, key=lambda each: each.at)
        event, done, now, waits = next(events, None), 0, -math.inf, False
        while True:
            tick = self._tick(now, event, waits=waits)
            if event is None and not tick <= until:
                return
            now = tick
            batch: list[PastScore | PastRequests] = []
            while event is not None and event.at <= now:
                batch.append(event)
                event = next(events, None)
            self._evaluate(batch, now)
            waits = self._is_waiting()
            done += sum(isinstance(each, PastScore) and each.is_first for each in batch)
            yield done

    def _tick(self, now: float, event: PastScore | PastRequests | None, *, waits: bool) -> float:
        """Return when the rules look next, infinity for never: as soon as they may find something else."""
        if waits:
            return now + EVALUATION_SECONDS
        moments = [self._facts.due]
        if event is not None:
            moments.append(_rounded_up(event.at, EVALUATION_SECONDS if event.at >= self._since else PIECE * MINUTE))
        return max(now + EVALUATION_SECONDS, _rounded_up(min(moments), EVALUATION_SECONDS))

    def _is_waiting(self) -> bool:
        """Whether something may happen with time alone."""
        for (name, _), status in self._active.items():
            if status.state == "pending" or self._rules[name].keep_firing_for:
                return True
        return new_scores.are_waiting(self._scratch.connection())

    def _evaluate(self, came: Iterable[PastScore | PastRequests], now: float) -> None:
        has_more = True
        while has_more:
            with self._scratch.transaction() as connection:
                for each in came:
                    self._put(connection, each)
                bets, has_more = new_scores.take_bets(connection, now, self._silence)
            came = ()
            for rule, taken in offered(self._betting, bets):
                self._watches.take(rule, taken, now)
        active = {key for key in self._active if self._rules[key[0]].when.kind in BETTING}
        for key in {*self._watches.changed, *active}:
            watch = self._watches.all[key]
            self._advance(key, watch.evidence, now, lambda watch=watch: Firing(now, watch.rule.severity, watch.change))
            self.courses[key].bets += self._watches.changed.get(key, 0)
        self._watches.changed.clear()
        for finding in self._facts.look(now):
            self._advance_fact(finding, now)

    def _put(self, connection: sqlite3.Connection, came: PastScore | PastRequests) -> None:
        """Let the rules see what came as they did when it was written."""
        if isinstance(came, PastRequests):
            _, minute, service, *sums = came
            Requests.add(connection, service, minute * MINUTE, sums)
            if came.requests:
                seen(connection, [("", "", service)], came.at - 1)
            return
        if came.is_first:
            _put_first(connection, came.row)
        if came.row.judge in self._summed:
            came.row.save(connection)

    def _advance_fact(self, finding: Finding, now: float) -> None:
        key = finding.rule.name, finding.service
        status = self._active.get(key)
        if status is not None and status.state == "firing" and finding.supersedes(status.labels):
            self.courses[key].firings[-1].resolved_at = now
            self._active[key] = replace(status, state="pending")
        self._advance(key, finding.evidence, now, lambda: Firing(now, finding.severity, text=finding.fired()))

    def _advance(self, key: Key, evidence: Evidence, now: float, fired: Callable[[], Firing]) -> None:
        """Let time pass for an alert; `fired` returns how it would fire now."""
        rule, course = self._rules[key[0]], self.courses.setdefault(key, Course())
        before = self._active.get(key) or AlertStatus(rule=key[0], service=key[1], judge=rule.judge or "")
        after = advance(before, rule, evidence, now)
        if after.state == "firing" and before.state != "firing":
            course.firings.append(fired())
            after = replace(after, labels={"severity": course.firings[-1].severity})
            self._firing.add(key)
        elif before.state == "firing" and after.state != "firing":
            course.firings[-1].resolved_at = now
            self._firing.remove(key)
        if after.state == "inactive":
            self._active.pop(key, None)
        else:
            self._active[key] = after


def needs_minutes(rule: AlertRule) -> bool:
    """Whether a rule is on requests, and can be replayed from their sums by the minute alone."""
    return rule.judge is None and rule.when.kind in ("silence", "slo")


def _rounded_up(at: float, step: float) -> float:
    return math.ceil(at / step) * step if math.isfinite(at) else at


def _put_first(connection: sqlite3.Connection, score: ScoreRow) -> None:
    new_scores.put(connection, score, Escalation.load(score.judge, score.cascade) if score.cascade else None)
    if score.tier == "llm":
        joined_scores.answer(connection, score.trace_id, score.judge, score, score.scored_at)
