"""Which traces are judged: those that a judge matches, of these a consistent sample, and some kinds always."""

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from qualitrace_collector.convert import build_sample
from qualitrace_collector.convert.build_sample import is_error
from qualitrace_collector.convert.mlflow_span import AnySpan
from qualitrace_collector.person_feedback import is_dislike
from qualitrace_collector.pipeline.consistent_sample import inclusion_probability
from qualitrace_collector.pipeline.settings import PipelineConfig, SampledJudge
from qualitrace_collector.pipeline.stored_trace import StoredTrace
from qualitrace_collector.sample import Sample
from qualitrace_collector.state import JudgeQueue, JudgeTask, Ledger
from qualitrace_collector.state.ledger import JudgementOutcome

_log = logging.getLogger(__name__)

FEEDBACK_EVENT = "gen_ai.evaluation.result"


Counts = Counter[tuple[str, JudgementOutcome, str]]
"""Judgements by service, outcome and judge."""


class Rates(Protocol):
    """How many traces the judges can take."""

    def effective_rate(self, judge: SampledJudge, rate: float) -> float:
        """Return the share of the traces that `judge` scores now where the configuration wants `rate`."""
        ...

    def admits(self, connection: sqlite3.Connection, trace_id: str, judge: SampledJudge) -> bool:
        """Whether `judge` can take a trace that is always to be judged; if so, in the caller's transaction, it will."""
        ...

    def release(self, connection: sqlite3.Connection, trace_id: str, judge: SampledJudge) -> None:
        """Take note, in the caller's transaction, that `judge` will not judge a trace that it was to judge."""
        ...


class ConfiguredRates:
    """Judges without a budget: they can take all that the configuration wants."""

    def effective_rate(self, judge: SampledJudge, rate: float) -> float:
        """Return the rate that the configuration wants."""
        return rate

    def admits(self, connection: sqlite3.Connection, trace_id: str, judge: SampledJudge) -> bool:
        """Take every trace."""
        return True

    def release(self, connection: sqlite3.Connection, trace_id: str, judge: SampledJudge) -> None:
        """Do nothing: no account is kept."""


class Sampler:
    """Queues traces for the judges that pick them; every method runs inside the caller's transaction.

    Args:
        rates: what the judges can take; without them, all that the configuration wants.
    """

    def __init__(self, config: PipelineConfig, rates: Rates | None = None) -> None:
        self._judges = config.judges
        self._sampling = config.sampling
        self._rates = rates or ConfiguredRates()

    def enqueue(self, connection: sqlite3.Connection, traces: Sequence[StoredTrace], now: float) -> None:
        """Queue complete traces for the judges that pick them, and count those that no judge gets."""
        counts: Counts = Counter()
        before = Ledger.not_matched(connection, [trace.trace_id for trace in traces if trace.known])
        for trace in traces if self._judges else ():
            always = in_always_stratum(trace, self._sampling.always)
            unmatched = {*before.get(trace.trace_id, ())}
            pick = partial(self._probability, connection, trace, always=always, unmatched=unmatched, counts=counts)
            self._put(connection, trace, now, self._judges, pick)
            if unmatched or trace.trace_id in before:
                Ledger.set_not_matched(connection, trace.trace_id, unmatched)
        for (service, outcome, judge), count in counts.items():
            Ledger.add(connection, service, outcome, judge, count)

    def queue_after_dislike(self, connection: sqlite3.Connection, trace: StoredTrace, now: float) -> None:
        """Queue a stored trace for the judges that match it, and that it was sampled out of."""
        unmatched = Ledger.not_matched(connection, [trace.trace_id]).get(trace.trace_id, ())
        judges = [judge for judge in self._judges if judge.name not in unmatched and matches(judge, trace)]
        self._put(connection, trace, now, judges, partial(self._late_probability, connection, trace))

    def _put(
        self,
        connection: sqlite3.Connection,
        trace: StoredTrace,
        now: float,
        judges: Sequence[SampledJudge],
        probability_for: Callable[[SampledJudge], float | None],
    ) -> None:
        picked = [(judge, chance) for judge in judges if (chance := probability_for(judge)) is not None]
        if not picked:
            return
        root, sample = trace.root, _sample(trace)
        content_hash = sample.content_hash
        for judge, probability in picked:
            task = JudgeTask(
                trace_id=trace.trace_id,
                judge=judge.name,
                service=trace.service,
                sample=sample,
                inclusion_probability=probability,
                root_ended_at=(root.end_time_ns or root.start_time_ns) / 1e9,
                completed_at=now,
                content_hash=content_hash,
                weight=self._weight(judge, trace, probability),
                rate=self._sampling.rate_for(judge, trace.find),
            )
            JudgeQueue.put(connection, task)

    def _weight(self, judge: SampledJudge, trace: StoredTrace, probability: float) -> float:
        """Return the weight of a trace relative to those that the judge picks least often in the service.

        Bets thus stand for the service's traffic as it is, whatever the rates of its strata.
        """
        if not probability:
            return 0.0
        least = self._rates.effective_rate(judge, self._sampling.least_rate(judge, trace.service))
        return min(1.0, least / probability)

    def _probability(
        self,
        connection: sqlite3.Connection,
        trace: StoredTrace,
        judge: SampledJudge,
        *,
        always: bool,
        unmatched: set[str],
        counts: Counts,
    ) -> float | None:
        """Return the probability with which the trace was picked for a judge, None if it was not; counts the latter.

        A trace that was complete before was picked, or sampled out, then. If it shows only now that it is to be judged
        always, it is picked after the fact: its probability is 0, which keeps it out of estimates.

        Args:
            unmatched: the judges for which the trace counts as not matched; kept up to date.
        """
        if trace.known and JudgeQueue.holds(connection, trace.trace_id, judge.name):
            if matches(judge, trace):
                return 0.0  # the queue knows the probability
            if JudgeQueue.withdraw(connection, trace.trace_id, judge.name):
                self._rates.release(connection, trace.trace_id, judge)
            return None
        if not matches(judge, trace):
            if not trace.known:  # else it is not matched already, or was sampled out when it matched
                unmatched.add(judge.name)
                counts[trace.service, "not_matched", judge.name] += 1
            return None
        if judge.name in unmatched:  # what came since makes it match
            unmatched.remove(judge.name)
            Ledger.add(connection, trace.service, "not_matched", judge.name, -1)
        elif trace.known:
            return self._late_probability(connection, trace, judge) if always else None
        return self._first_probability(connection, trace, judge, always=always, counts=counts)

    def _first_probability(
        self, connection: sqlite3.Connection, trace: StoredTrace, judge: SampledJudge, *, always: bool, counts: Counts
    ) -> float | None:
        """Decide for the first time; counts what is not picked."""
        admitted = always and self._rates.admits(connection, trace.trace_id, judge)
        wanted = self._sampling.rate_for(judge, trace.find)
        rate = self._rates.effective_rate(judge, wanted)
        probability = inclusion_probability(trace.trace_id, trace.tracestate, rate, always=admitted)
        if probability is None:
            counts[trace.service, "sampled_out", judge.name] += 1
        # Where nothing is sampled, what is always judged stands for nothing but itself.
        return 0.0 if probability is not None and not wanted else probability

    def _late_probability(
        self, connection: sqlite3.Connection, trace: StoredTrace, judge: SampledJudge
    ) -> float | None:
        """Return 0, which keeps the trace out of estimates; None if the judge has it already, or cannot take it."""
        held = JudgeQueue.holds(connection, trace.trace_id, judge.name)
        if held or not self._rates.admits(connection, trace.trace_id, judge):
            return None
        Ledger.add(connection, trace.service, "sampled_out", judge.name, -1)
        return 0.0


def matches(judge: SampledJudge, trace: StoredTrace) -> bool:
    """Whether a judge sees a trace."""
    return judge.match is None or judge.match.holds(trace.find)


def _sample(trace: StoredTrace) -> Sample:
    """Return what the judges see; nothing, which no judge can judge, if a client's content cannot be read."""
    try:
        return build_sample(trace.spans, trace.service)
    except Exception:
        _log.exception("the content of trace %s cannot be read", trace.trace_id)
        return Sample(metadata={"service": trace.service})


def in_always_stratum(trace: StoredTrace, strata: Sequence[str]) -> bool:
    """Whether the trace failed, or carries negative feedback, and such traces are always judged."""
    return ("error" in strata and is_error(trace.root)) or (
        "negative_feedback" in strata and any(map(_has_negative_feedback, trace.spans))
    )


def _has_negative_feedback(span: AnySpan) -> bool:
    """Whether an evaluation event (OTel GenAI: `gen_ai.evaluation.result`) on the span is negative."""
    for event in span.events:
        if event.name == FEEDBACK_EVENT:
            value = event.attributes.get("gen_ai.evaluation.score.value")
            label = str(event.attributes.get("gen_ai.evaluation.score.label", ""))
            if is_dislike(label) or (isinstance(value, (int, float)) and is_dislike(value)):
                return True
    return False
