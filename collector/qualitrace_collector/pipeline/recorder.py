"""Records what became of each trace and who judges it, in one transaction; then the traces are measured."""

import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from qualitrace_collector.convert.build_sample import is_error
from qualitrace_collector.convert.first_chunk import first_chunk_seconds
from qualitrace_collector.convert.mlflow_span import duration_seconds
from qualitrace_collector.mlflow_store.store import reason
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.piece import requests_of
from qualitrace_collector.pipeline.batch import Batch, BatchItem
from qualitrace_collector.pipeline.call_metrics import new_calls
from qualitrace_collector.pipeline.sampling import Rates, Sampler
from qualitrace_collector.pipeline.settings import KEEP_SECONDS, PipelineConfig
from qualitrace_collector.pipeline.stored_trace import StoredTrace
from qualitrace_collector.pipeline.trace_metrics import Late, TraceMetrics
from qualitrace_collector.sample import SLICES
from qualitrace_collector.state import (
    Count,
    Counted,
    CoverageTotals,
    Database,
    DeadLetter,
    DeadLetters,
    EarlyLogs,
    JudgeQueue,
    Ledger,
    Spent,
    TraceRecord,
)
from qualitrace_collector.state.coverage import INPUT, OUTPUT, USD, Coverage, added, gained, joined
from qualitrace_collector.state.requests import Request, Requests
from qualitrace_collector.state.services import ServiceNames
from qualitrace_collector.state.untraced import Untraced
from qualitrace_collector.state.waiting import WaitingFeedback

_log = logging.getLogger(__name__)


class Recorder:
    """Writes the ledger and the judges' queue, and counts the metrics of complete traces.

    Attributes:
        early_logs: the log records that wait for their span.
        sampler: queues traces for the judges.
        services: bounds the names of services.

    Args:
        rates: what the judges can take; without them, all that the configuration wants.
        one_by_one: some alert rule reads each request.
    """

    def __init__(
        self,
        config: PipelineConfig,
        database: Database,
        metrics: TraceMetrics,
        rates: Rates | None = None,
        *,
        one_by_one: bool = False,
    ) -> None:
        self._one_by_one = one_by_one
        self._assembly = config.assembly
        self._database = database
        self._metrics = metrics
        self.early_logs = EarlyLogs(database)
        self.sampler = Sampler(config, rates)
        self.services = ServiceNames(database, config.mlflow.max_experiments, config.mlflow.forget_services_after)

    def record(self, batch: Batch, now: float) -> None:
        """Record a batch durably; recording it again changes nothing."""
        complete = [trace for item in batch.items if (trace := item.complete)]
        coverage = {item.trace_id: item.coverage for item in batch.items}
        with self._database.transaction() as connection:
            Ledger.record_traces(connection, [r for item in batch.items if (r := _record_of(item))], now)
            for item in batch.items:
                if item.outcome == "dead_lettered":
                    DeadLetters.put(connection, _letter_of(item, now))
                if item.outcome == "stored" and item.trace and not item.whole:
                    last_at, tracestate = item.piece.last_at, item.trace.tracestate
                    Ledger.put_unfinished(connection, item.trace_id, last_at, tracestate, item.coverage)
                if item.piece.logs and not item.error:
                    EarlyLogs.replace(connection, item.trace_id, item.early_logs, now)
            late = _count(connection, complete, coverage, now)
            new = (item for item in batch.items if item.complete and not item.complete.known)
            Untraced.add(connection, [(item.service, library) for item in new for library in item.untraced])
            self.sampler.enqueue(connection, complete, now)
            self._keep_requests(connection, [trace for trace in complete if not trace.known], late, now)
        self._metrics.observe((trace for trace in complete if not trace.known), now)
        self._metrics.observe_late(late, now)
        self._metrics.count_renamed(sum(item.is_renamed for item in batch.items))
        for item in batch.items:
            self._metrics.count_conflicts(item.service, item.conflicts)
            if not item.try_again:
                self._metrics.count_left_out(item.service, item.piece.excess)

    def finish(self, traces: Sequence[StoredTrace], now: float) -> None:
        """Judge and measure traces that were stored before their root came, and will not get one."""
        there = [trace for trace in traces if trace.spans]  # else somebody deleted it in MLflow
        with self._database.transaction() as connection:
            Ledger.end(connection, [trace.trace_id for trace in traces])
            _count(connection, there, {}, now)
            self.sampler.enqueue(connection, there, now)
            self._keep_requests(connection, there, (), now)
        self._metrics.observe(there, now)

    def _keep_requests(
        self,
        connection: sqlite3.Connection,
        traces: Iterable[StoredTrace],
        late: Iterable[Late],
        now: float,
    ) -> None:
        Requests.put(connection, map(_request_of, traces), now, one_by_one=self._one_by_one)
        for each in late:
            Requests.add_late(connection, each.trace.service, *_amounts(each.spent), now)

    def keep_letter(self, letter: DeadLetter) -> None:
        """Record a request that cannot be decoded."""
        with self._database.transaction() as connection:
            record = TraceRecord(letter.trace_id, letter.service, "dead_lettered", root_seen=False)
            Ledger.record_traces(connection, [record], letter.recorded_at)
            DeadLetters.put(connection, letter)

    def keep_feedback(self, feedback: PersonFeedback, received_at: float) -> None:
        """Keep a person's feedback until it can be written to MLflow."""
        with self._database.transaction() as connection:
            WaitingFeedback.put(connection, feedback, received_at)

    def count_redactions(self, counts: Mapping[str, int]) -> None:
        """Count replacements by rule."""
        self._metrics.count_redactions(counts)

    def prune(self, now: float) -> None:
        """Forget rows older than a week, log records whose span did not come, and names; the ledger's totals stay."""
        with self._database.transaction() as connection:
            for table in (Ledger, Counted, JudgeQueue):
                table.prune(connection, now - KEEP_SECONDS)
            Requests.prune(connection, now)
            dropped = EarlyLogs.prune(connection, now - self._assembly.max_age, self._assembly.max_size)
        self._metrics.forget(self.services.forget_unseen(now), now - KEEP_SECONDS)
        if dropped:
            _log.info("log records of %d traces are dropped: their spans did not come", dropped)


def _request_of(trace: StoredTrace) -> Request:
    waits = (wait for call in trace.calls if (wait := first_chunk_seconds(call)) is not None)
    tokens, usd = _amounts(trace.spent)
    metadata = trace.metadata
    return Request(
        trace_id=trace.trace_id,
        service=trace.service,
        session=metadata.get("session", ""),
        error=is_error(trace.root),
        seconds=duration_seconds(trace.root),
        first_token=next(waits, None),
        tokens=tokens,
        usd=usd,
        slices={name: value for name in SLICES if (value := metadata.get(name))},
    )


def _amounts(spent: Spent) -> tuple[float, float]:
    """Return all tokens and US dollars."""
    models = spent.values()
    return sum(of.get(INPUT, 0) + of.get(OUTPUT, 0) for of in models), sum(of.get(USD, 0) for of in models)


def _record_of(item: BatchItem) -> TraceRecord | None:
    if item.outcome is None:
        return None
    root_seen = item.whole and item.outcome != "dead_lettered"  # a dead letter did not go to the judges
    return TraceRecord(item.trace_id, item.service, item.outcome, root_seen)


def _letter_of(item: BatchItem, now: float) -> DeadLetter:
    why = reason(item.error) if item.error else ""
    _log.error("trace %s goes to the dead letters: %s", item.trace_id, why)
    traces, logs = requests_of(item.piece)
    return DeadLetter(
        trace_id=item.trace_id,
        service=item.service,
        error=why,
        traces=traces.SerializeToString(),
        logs=logs.SerializeToString(),
        recorded_at=now,
        tenant=item.piece.tenant,
    )


def _count(
    connection: sqlite3.Connection, traces: Sequence[StoredTrace], coverage: Mapping[str, Coverage], now: float
) -> list[Late]:
    """Count what complete traces have, and remember it for each, so that what comes late is counted once.

    Returns:
        What came since to traces that were complete before.
    """
    waited = Ledger.take_unfinished(connection, [trace.trace_id for trace in traces])
    before = Counted.of(connection, [trace.trace_id for trace in traces if trace.known])
    counts: dict[str, Count] = {}
    late: list[Late] = []
    for trace in traces:
        has = joined(waited.get(trace.trace_id, {}), coverage.get(trace.trace_id, {}))
        if not trace.known:
            counts[trace.trace_id] = Count(has, trace.spent, len(trace.model_calls))
        elif (known := before.get(trace.trace_id)) is not None:  # else it was counted so long ago that it is forgotten
            more, calls = gained(known.spent, trace.spent), new_calls(trace, known.calls)
            spent = added(known.spent, more)
            counts[trace.trace_id] = Count(joined(known.coverage, has), spent, known.calls + len(calls))
            late.append(Late(trace, more, calls))
    unknown = Count({}, {}, 0)
    changes = ((before.get(trace_id, unknown).coverage, count.coverage) for trace_id, count in counts.items())
    CoverageTotals.change(connection, changes)
    Counted.put(connection, counts, now)
    return late
