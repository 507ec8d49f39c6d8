"""Plays scores of the past through the rules: the engine's own bets, watches and states, by a clock that is simulated.

What differs from `AlertEngine`: nothing is notified, no estimate is made, and watches stay in memory between two
evaluations, since a month has half a million of them.
"""

import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts import joined_scores, new_scores
from qualitrace_monitors.alerts.engine import EVALUATION_SECONDS
from qualitrace_monitors.alerts.kinds.score_means import ScoreMeans, offered
from qualitrace_monitors.alerts.kinds.watched import Watches
from qualitrace_monitors.alerts.rule_watch import Change
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import AlertStatus, advance
from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.judges.build import Escalation

Key = tuple[str, str]
"""A rule, by its name, and a service."""

REPLAYED = ScoreMeans.names
"""The kinds of conditions whose evidence is scores alone."""


@dataclass(slots=True)
class Firing:
    """An alert from when it fired until it resolved; times are Unix seconds.

    Attributes:
        change: what the rule knew when it fired.
        resolved_at: None if it fires still.
    """

    fired_at: float
    change: Change
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
    """Rules over scores of the past.

    Args:
        rules: those to replay, of the kinds `REPLAYED`.
        silence: seconds after which a session is over: the shortest time of all rules of the configuration.
        scratch: an empty state database, for the scores that wait and the sessions under way.

    Attributes:
        courses: what became of each rule and service that had scores.
    """

    def __init__(self, rules: Sequence[AlertRule], silence: float, scratch: Database) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self._silence = silence
        self._scratch = scratch
        connection = scratch.connection()
        connection.execute("PRAGMA journal_mode=MEMORY")
        connection.execute("PRAGMA synchronous=OFF")
        self._firing: set[Key] = set()
        self._watches = Watches(self._firing)
        self._active: dict[Key, AlertStatus] = {}
        self.courses: dict[Key, Course] = {}

    def run(self, scores: Iterable[ScoreRow], until: float) -> Iterator[int]:
        """Play scores, in order; yield how many have been, from time to time.

        Args:
            until: when the last session may end, or the last alert resolve, Unix seconds.
        """
        to_come, done, now, waits = iter(scores), 0, -math.inf, False
        score = next(to_come, None)
        while score is not None or (waits and now + EVALUATION_SECONDS <= until):
            now += EVALUATION_SECONDS
            if score is not None and not waits:
                now = max(now, math.ceil(score.scored_at / EVALUATION_SECONDS) * EVALUATION_SECONDS)
            batch = list[ScoreRow]()
            while score is not None and score.scored_at <= now:
                batch.append(score)
                score = next(to_come, None)
            self._evaluate(batch, now)
            waits = self._is_waiting()
            done += len(batch)
            yield done

    def _is_waiting(self) -> bool:
        """Whether something may happen without another score."""
        for (name, _), status in self._active.items():
            if status.state == "pending" or self._rules[name].keep_firing_for:
                return True
        return new_scores.are_waiting(self._scratch.connection())

    def _evaluate(self, scores: Iterable[ScoreRow], now: float) -> None:
        has_more = True
        while has_more:
            with self._scratch.transaction() as connection:
                for score in scores:
                    _put(connection, score)
                bets, has_more = new_scores.take_bets(connection, now, self._silence)
            scores = ()
            for rule, taken in offered(self._rules.values(), bets):
                self._watches.take(rule, taken, now)
        for key in {*self._watches.changed, *self._active}:
            self._advance(key, now)
        self._watches.changed.clear()

    def _advance(self, key: Key, now: float) -> None:
        (name, service), watch = key, self._watches.all[key]
        rule, course = self._rules[name], self.courses.setdefault(key, Course())
        course.bets += self._watches.changed.get(key, 0)
        before = self._active.get(key) or AlertStatus(rule=name, service=service, judge=rule.judge or "")
        after = advance(before, rule, watch.evidence, now)
        if after.state == "firing" and before.state != "firing":
            course.firings.append(Firing(now, watch.change))
            self._firing.add(key)
        elif before.state == "firing" and after.state != "firing":
            course.firings[-1].resolved_at = now
            self._firing.remove(key)
        if after.state == "inactive":
            self._active.pop(key, None)
        else:
            self._active[key] = after


def _put(connection: sqlite3.Connection, score: ScoreRow) -> None:
    """Let the rules see a score as they did when it was written."""
    new_scores.put(connection, score, Escalation.load(score.judge, score.cascade) if score.cascade else None)
    if score.tier == "llm":
        joined_scores.answer(connection, score.trace_id, score.judge, score, score.scored_at)
