"""How long falls take to be noticed: many streams with a fall each, simulated at once, go through the rules' own watch.

A service is simulated twice: one whose first thousand answers are known, and a new one, which falls before they are.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qualitrace_monitors.alerts.joined_scores import CLIPPED
from qualitrace_monitors.alerts.new_scores import SESSION_SCORES
from qualitrace_monitors.alerts.rule_watch import LEAST_FRESH, MOST_FRESH, new_watch
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.watch import REFERENCE, Watch

STREAMS = 500
"""Streams of each fall."""

MOST_BETS = 10_000
"""Bets after a fall that are simulated, at most: some ten seconds."""

MONTH = 30 * 86_400.0

NEW_BETS = 100
"""Bets of a new service before its fall."""

DONE = 0.25
"""Share of the streams that have noticed their fall, from which on the others are followed alone."""

LATER_BETS = 200
"""Bets of a known service between the thousand that are its reference and the fall."""

CORRELATION = 0.1
"""How alike the answers of a session are: the intra-class correlation."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What a rule gets to see of a service.

    Attributes:
        scores_per_second: on average.
        sessions: answers of a session; 1 without sessions.
        judged: the share of them that is scored.
        audited: of a cascade whose judges are joined, the share of local verdicts that the model checks; else 1.
    """

    scores_per_second: float
    sessions: int = 1
    judged: float = 1.0
    audited: float = 1.0

    @property
    def scores_per_bet(self) -> float:
        """How many scores of a session there are, if there are any."""
        return self.sessions * self.judged / (1 - (1 - self.judged) ** self.sessions)

    def draw(self, random: np.random.Generator, rates: Array, guess: float) -> tuple[Array, Array]:
        """Return the next value of each stream at these rates, and what it is where a recovery is looked for.

        Args:
            guess: what a cascade's model says, guessed from a local verdict that says nothing about it.
        """
        if self.sessions > 1:
            passed = self._session(random, rates)
        else:
            passed = (random.random(len(rates)) < rates).astype(np.float64)
        if self.audited == 1:
            return passed, passed
        share = (random.random(len(rates)) < self.audited) / self.audited
        high, low = max(CLIPPED, guess), min(1 - CLIPPED, guess)  # see `joined_scores`
        return high + share * (passed - high), low + share * (passed - low)

    def _session(self, random: np.random.Generator, rates: Array) -> Array:
        spread = 1 / CORRELATION - 1
        edge = np.clip(rates, 1e-6, 1 - 1e-6)
        own = random.beta(edge * spread, (1 - edge) * spread)
        scored = np.clip(random.binomial(self.sessions, self.judged, len(rates)), 1, SESSION_SCORES)
        return random.binomial(scored, own) / scored


class Delay(NamedTuple):
    """How long a fall took: values after it, infinity where it was not noticed within a month or `MOST_BETS`.

    Attributes:
        missed: the share of streams in which it was not.
    """

    median: float
    ninetieth: float
    missed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FallDelays:
    """What a fall looks like to a rule.

    Attributes:
        before, after: the rate of the rule's quantity.
        known, new: of a service that is known, and of a new one; None where the rule cannot notice it.
    """

    before: float
    after: float
    known: Delay | None
    new: Delay | None


@dataclass(frozen=True, slots=True)
class Simulation:
    """Falls under one rule.

    Args:
        rate: the share of values that are good, before the fall.
    """

    rule: AlertRule
    stream: Stream
    rate: float

    @property
    def bets_per_second(self) -> float:
        """How often the rule bets: of canary and control once for both."""
        pairs = 2 if self.rule.when.reference == "control" else 1
        return self.stream.scores_per_second / self.stream.scores_per_bet / pairs

    @property
    def bets(self) -> int:
        """How many bets after a fall are simulated."""
        return max(1, min(MOST_BETS, math.floor(MONTH * self.bets_per_second)))

    @property
    def is_whole_month(self) -> bool:
        """Whether that is all of a month."""
        return MONTH * self.bets_per_second <= MOST_BETS

    def is_noticeable(self, fall: float) -> bool:
        """Whether the rule's condition holds after a fall."""
        when = self.rule.when
        if when.reference:
            return fall > when.threshold + 1e-9
        return self.rate - fall < (1 - when.limit if when.operator == ">" else when.limit) - 1e-9

    def run(self, falls: Sequence[float], progress: Callable[[int], None]) -> list[FallDelays]:
        """Return the delays of each fall; `progress` gets how many bets have been simulated of each stream."""
        noticed = [fall for fall in falls if self.is_noticeable(fall)]
        known, new = (self._delays(noticed, kind, progress) for kind in ("known", "new"))
        rises = self.rule.when.operator == ">"
        return [
            FallDelays(
                before=1 - self.rate if rises else self.rate,
                after=1 - self.rate + fall if rises else self.rate - fall,
                known=known.get(fall),
                new=new.get(fall),
            )
            for fall in falls
        ]

    def _delays(self, falls: Sequence[float], kind: str, progress: Callable[[int], None]) -> dict[float, Delay]:
        """Return the delays of each fall of a service that is `known` or `new`."""
        if not falls or (kind == "new" and self.rule.when.reference == "baseline"):
            return {}
        random = np.random.default_rng(1)
        watch, number = self._before(random, STREAMS * len(falls), kind, progress)
        # A stream with a false alarm before its fall says nothing about it.
        first = np.where(watch.firing, np.nan, np.inf)
        streams, rates = np.arange(len(first)), np.repeat(self.rate - np.asarray(falls), STREAMS)
        for bets in range(self.bets + 1):
            if bets:
                self._bet(watch, random, rates, number + bets)
                first[streams[watch.firing & np.isinf(first[streams])]] = bets
            if not np.isinf(first).any():
                break
            if watch.firing.mean() > DONE:
                quiet = ~watch.firing
                watch.keep(quiet)
                streams, rates = streams[quiet], rates[quiet]
            progress(number + bets)
        by_fall = zip(falls, first.reshape(len(falls), STREAMS), strict=True)
        return {fall: _delay(row, self.stream.scores_per_bet) for fall, row in by_fall}

    def _before(
        self, random: np.random.Generator, streams: int, kind: str, progress: Callable[[int], None]
    ) -> tuple[Watch, int]:
        """Return the watch of a service before its fall, and after how many bets."""
        reach = 1 / self.stream.audited
        least, most = (1 - reach, CLIPPED + (1 - CLIPPED) * reach) if reach > 1 else (0.0, 1.0)
        watch = new_watch(self.rule, streams=streams, least=least, most=most)
        rates = np.full(streams, self.rate)
        number, end = 0, NEW_BETS if kind == "new" else MOST_BETS
        while number < end:
            self._bet(watch, random, rates, number)
            number += 1
            if end == MOST_BETS and self._is_known(watch, number):
                end = number + LATER_BETS
            progress(number)
        return watch, number

    def _is_known(self, watch: Watch, number: int) -> bool:
        """Whether nearly all streams have their reference; canary and control are compared without one."""
        if self.rule.when.reference == "control":
            return number >= REFERENCE
        return float(np.isnan(watch.reference.bound).mean()) < 0.1

    def _bet(self, watch: Watch, random: np.random.Generator, rates: Array, number: int) -> None:
        values, resolving = self.stream.draw(random, rates, self.rate)
        if self.rule.when.reference == "control":  # the control stays as good as it was
            low, high = self.stream.draw(random, np.full(len(rates), self.rate), self.rate)[::-1]
            values, resolving = (values - low + 1) / 2, (resolving - high + 1) / 2
        seconds = 1 / self.bets_per_second
        fresh = min(MOST_FRESH, max(LEAST_FRESH, seconds / self.rule.false_alarms.period))
        watch.take(values, 1.0, fresh, number * seconds, resolving)


def _delay(first: Array, scores_per_bet: float) -> Delay:
    """Return the delay in scores, of the streams that say something."""
    counted = first[~np.isnan(first)] * scores_per_bet
    if not len(counted):
        return Delay(math.nan, math.nan, math.nan)
    median, ninetieth = np.quantile(counted, [0.5, 0.9], method="higher")
    return Delay(float(median), float(ninetieth), float(np.isinf(counted).mean()))
