"""What became of each trace, and who judges it: written in one transaction, then measured."""

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from qualitrace_collector.convert import ConvertedTrace, build_sample
from qualitrace_collector.convert.build_sample import root_of
from qualitrace_collector.convert.mlflow_span import AnySpan
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.pipeline.sampling import in_always_stratum, inclusion_probability
from qualitrace_collector.pipeline.settings import PipelineConfig, SampledJudge
from qualitrace_collector.pipeline.trace_metrics import TraceMetrics
from qualitrace_collector.sample import Sample
from qualitrace_collector.spent import added, gained, spent_by_model
from qualitrace_collector.state import (
    Count,
    Counted,
    CoverageTotals,
    Database,
    DeadLetter,
    DeadLetters,
    EarlyLogs,
    JudgeQueue,
    JudgeTask,
    Ledger,
    Spent,
    TraceRecord,
)
from qualitrace_collector.state.coverage import Coverage, joined
from qualitrace_collector.state.waiting_feedback import FeedbackBox

_log = logging.getLogger(__name__)

KEEP_SECONDS = 7 * 86_400.0
"""How long a trace's row is kept: a span that comes later than this starts the trace anew in the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteTrace:
    """A trace that is stored whole.

    Attributes:
        spans: all of them, in their translated form.
        known: it was complete before: a late span came, or the journal was replayed.
    """

    trace_id: str
    service: str
    tracestate: str
    spans: Sequence[AnySpan]
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What came of a batch of pieces.

    Attributes:
        conflicting: spans left out because another one has their ids, by service.
        coverage: what each trace has of what it should have, by its id.
        early_logs: log records whose span has not come, by trace id; of a trace that had some, all that are left.
    """

    stored: Sequence[ConvertedTrace] = ()
    not_genai: Sequence[ConvertedTrace] = ()
    dead_lettered: Sequence[DeadLetter] = ()
    complete: Sequence[CompleteTrace] = ()
    conflicting: Mapping[str, int] = field(default_factory=dict[str, int])
    coverage: Mapping[str, Coverage] = field(default_factory=dict[str, Coverage])
    early_logs: Mapping[str, Sequence[LogRecord]] = field(default_factory=dict[str, Sequence[LogRecord]])


class Rates(Protocol):
    """How many traces the judges can take."""

    def effective_rate(self, judge: SampledJudge) -> float:
        """Return the share of all traffic that `judge` scores now."""
        ...

    def admits(self, connection: sqlite3.Connection, trace_id: str, judge: SampledJudge) -> bool:
        """Whether `judge` can take a trace that is always to be judged; if so, in the caller's transaction, it will."""
        ...


class ConfiguredRates:
    """Judges without a budget: they can take all that the configuration wants."""

    def __init__(self, config: PipelineConfig) -> None:
        self.effective_rate = config.sampling.rate_of

    def admits(self, connection: sqlite3.Connection, trace_id: str, judge: SampledJudge) -> bool:
        """Take every trace."""
        return True


class Recorder:
    """Writes the ledger and the judges' queue, and counts the metrics of complete traces.

    Attributes:
        early_logs: the log records that wait for their span.

    Args:
        rates: what the judges can take; without them, all that the configuration wants.
    """

    def __init__(
        self, config: PipelineConfig, database: Database, metrics: TraceMetrics, rates: Rates | None = None
    ) -> None:
        self._config = config
        self._rates = rates or ConfiguredRates(config)
        self._database = database
        self._metrics = metrics
        self.early_logs = EarlyLogs(database)

    def record(self, results: Results, now: float) -> None:
        """Record a batch durably; recording it again changes nothing."""
        complete = {trace.trace_id for trace in results.complete}
        records: list[TraceRecord] = [
            *(
                TraceRecord(trace.trace_id, trace.service, "stored", trace.trace_id in complete)
                for trace in results.stored
            ),
            *(
                TraceRecord(trace.trace_id, trace.service, "not_genai", trace.piece.root_seen)
                for trace in results.not_genai
            ),
            *(TraceRecord(letter.trace_id, letter.service, "dead_lettered", False) for letter in results.dead_lettered),
        ]
        with self._database.transaction() as connection:
            Ledger.record_traces(connection, records, now)
            for letter in results.dead_lettered:
                DeadLetters.put(connection, letter)
            for trace_id, logs in results.early_logs.items():
                EarlyLogs.replace(connection, trace_id, logs, now)
            _let_wait(
                connection, [trace for trace in results.stored if trace.trace_id not in complete], results.coverage
            )
            late = _count(connection, results.complete, results.coverage, now)
            self._enqueue_sampled(connection, results.complete, now)
        self._metrics.observe((trace.service, trace.spans) for trace in results.complete if not trace.known)
        self._metrics.observe_late(late)
        self._metrics.count_conflicts(results.conflicting)

    def finish(self, traces: Sequence[CompleteTrace], now: float) -> None:
        """Judge and measure traces that were stored before their root came, and will not get one."""
        there = [trace for trace in traces if trace.spans]  # else somebody deleted it in MLflow
        with self._database.transaction() as connection:
            Ledger.end(connection, [trace.trace_id for trace in traces])
            _count(connection, there, {}, now)
            self._enqueue_sampled(connection, there, now)
        self._metrics.observe((trace.service, trace.spans) for trace in there)

    def keep_feedback(self, feedback: PersonFeedback, received_at: float) -> None:
        """Keep what a person said until it can be written to MLflow."""
        with self._database.transaction() as connection:
            FeedbackBox.put(connection, feedback, received_at)

    def pick(self, connection: sqlite3.Connection, trace: CompleteTrace, now: float) -> None:
        """Queue a stored trace, in the caller's transaction, for the judges that it was sampled out of."""
        self._enqueue(connection, trace, now, lambda judge: self._late_probability(connection, trace, judge))

    def count_redactions(self, counts: Mapping[str, int]) -> None:
        """Count replacements by rule."""
        self._metrics.count_redactions(counts)

    def prune(self, now: float) -> None:
        """Forget rows older than a week, and log records whose span did not come; the ledger's totals stay."""
        with self._database.transaction() as connection:
            Ledger.prune(connection, now - KEEP_SECONDS)
            Counted.prune(connection, now - KEEP_SECONDS)
            JudgeQueue.prune(connection, now - KEEP_SECONDS)
            assembly = self._config.assembly
            dropped = EarlyLogs.prune(connection, now - assembly.max_age, assembly.max_size)
        if dropped:
            _log.info("log records of %d traces are dropped: their spans did not come", dropped)

    def _enqueue_sampled(self, connection: sqlite3.Connection, traces: Iterable[CompleteTrace], now: float) -> None:
        """Queue complete traces for the judges that pick them."""
        sampled_out: Counter[tuple[str, str]] = Counter()
        for trace in traces if self._config.judges else ():
            always = in_always_stratum(root_of(trace.spans), trace.spans, self._config.sampling.always)
            probability = partial(self._probability, connection, trace, always=always, sampled_out=sampled_out)
            self._enqueue(connection, trace, now, probability)
        for (service, judge), count in sampled_out.items():
            Ledger.add(connection, service, "sampled_out", judge, count)

    def _enqueue(
        self,
        connection: sqlite3.Connection,
        trace: CompleteTrace,
        now: float,
        probability_for: Callable[[SampledJudge], float | None],
    ) -> None:
        if not self._config.judges:
            return
        root = root_of(trace.spans)
        sample, content_hash = None, ""
        for judge in self._config.judges:
            probability = probability_for(judge)
            if probability is None:
                continue
            sample = sample or _sample(trace)
            task = JudgeTask(
                trace_id=trace.trace_id,
                judge=judge.name,
                service=trace.service,
                sample=sample,
                inclusion_probability=probability,
                root_ended_at=(root.end_time_ns or root.start_time_ns) / 1e9,
                completed_at=now,
                content_hash=content_hash,
            )
            content_hash = task.content_hash
            JudgeQueue.put(connection, task)

    def _probability(
        self,
        connection: sqlite3.Connection,
        trace: CompleteTrace,
        judge: SampledJudge,
        *,
        always: bool,
        sampled_out: Counter[tuple[str, str]],
    ) -> float | None:
        """Return the probability with which the trace was picked for a judge, None if it was not; counts the latter.

        A trace that was complete before was picked, or sampled out, then. If it shows only now that it is to be judged
        always, it is picked after the fact: its probability is 0, which keeps it out of estimates.
        """
        if trace.known:
            if JudgeQueue.holds(connection, trace.trace_id, judge.name):
                return 0.0  # the queue knows the probability
            return self._late_probability(connection, trace, judge) if always else None
        admitted = always and self._rates.admits(connection, trace.trace_id, judge)
        rate = self._rates.effective_rate(judge)
        probability = inclusion_probability(trace.trace_id, trace.tracestate, rate, always=admitted)
        if probability is None:
            sampled_out[trace.service, judge.name] += 1
        return probability

    def _late_probability(
        self, connection: sqlite3.Connection, trace: CompleteTrace, judge: SampledJudge
    ) -> float | None:
        """Return 0, which keeps the trace out of estimates; None if the judge has it already, or cannot take it."""
        held = JudgeQueue.holds(connection, trace.trace_id, judge.name)
        if held or not self._rates.admits(connection, trace.trace_id, judge):
            return None
        Ledger.add(connection, trace.service, "sampled_out", judge.name, -1)
        return 0.0


def _let_wait(
    connection: sqlite3.Connection, traces: Iterable[ConvertedTrace], coverage: Mapping[str, Coverage]
) -> None:
    """Note of stored traces without a root when the last of them came."""
    for trace in traces:
        has = coverage.get(trace.trace_id, {})
        Ledger.put_unfinished(connection, trace.trace_id, trace.piece.last_at, trace.tracestate, has)


def _count(
    connection: sqlite3.Connection, traces: Sequence[CompleteTrace], coverage: Mapping[str, Coverage], now: float
) -> list[tuple[str, str, Spent]]:
    """Count what complete traces have, and note it of each, so that what comes late is counted once.

    Returns:
        What traces that were complete before have spent since: service, trace id, what.
    """
    waited = Ledger.take_unfinished(connection, [trace.trace_id for trace in traces])
    before = Counted.of(connection, [trace.trace_id for trace in traces if trace.known])
    counts: dict[str, Count] = {}
    late: list[tuple[str, str, Spent]] = []
    for trace in traces:
        has = joined(waited.get(trace.trace_id, {}), coverage.get(trace.trace_id, {}))
        spent = spent_by_model(trace.spans)
        if not trace.known:
            counts[trace.trace_id] = Count(has, spent)
        elif (known := before.get(trace.trace_id)) is not None:  # else it was counted before this was noted
            more = gained(known.spent, spent)
            counts[trace.trace_id] = Count(joined(known.coverage, has), added(known.spent, more))
            late.append((trace.service, trace.trace_id, more))
    unknown = Count({}, {})
    changes = ((before.get(trace_id, unknown).coverage, count.coverage) for trace_id, count in counts.items())
    CoverageTotals.change(connection, changes)
    Counted.put(connection, counts, now)
    return late


def _sample(trace: CompleteTrace) -> Sample:
    """Return what the judges see; nothing, which no judge can judge, if a client's content cannot be read."""
    try:
        return build_sample(trace.spans, trace.service)
    except Exception:
        _log.exception("the content of trace %s cannot be read", trace.trace_id)
        return Sample(metadata={"service": trace.service})
