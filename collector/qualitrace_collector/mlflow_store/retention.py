"""Deletes old traces from MLflow, as `mlflow.retention` says.

It deletes only in experiments that a collector writes to, and never a trace that is still open or waits for a judge.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.abstract_store import AbstractStore
from mlflow.tracing.constant import TraceMetricKey
from mlflow.utils.search_utils import SearchUtils
from prometheus_client import CollectorRegistry

from qualitrace_collector import metrics
from qualitrace_collector.mlflow_store.experiments import written_experiments
from qualitrace_collector.mlflow_store.settings import Retention
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore
from qualitrace_collector.state import Database, JudgeQueue, Ledger

_log = logging.getLogger(__name__)

DAY_SECONDS = 86_400.0

BATCH = 100
"""The limit of MLflow's client for one request to delete (MLFLOW_DELETE_TRACES_MAX_BATCH_SIZE)."""

CHECK_SECONDS = 60.0
UNAVAILABLE_SECONDS = 30.0
COUNT_SECONDS = 600.0
"""How long a count of an experiment's traces is gone by: PostgreSQL takes seconds to count a million."""

OLDEST_FIRST = ["timestamp_ms ASC"]


class Retainer:
    """Deletes the traces that are too old or too many, one batch a step; meant for one `Loop`.

    Args:
        database: knows which traces are open or wait for a judge.
        clock: Unix seconds.
    """

    def __init__(
        self,
        retention: Retention,
        store: TraceStore,
        database: Database,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._retention = retention
        self._store = store
        self._ledger, self._queue = Ledger(database), JudgeQueue(database)
        self._clock = clock
        self._cuts: dict[str, tuple[int, float]] = {}
        self._deleted = metrics.TRACES_DELETED.counter(registry)

    def step(self) -> float:
        """Delete at most one batch in each experiment; return the seconds to wait before the next step."""
        started = self._clock()
        try:
            deleted = sum(self._trim(experiment_id) for experiment_id in self._store.call(written_experiments))
        except (StoreUnavailable, MlflowException) as error:
            _log.warning("old traces cannot be deleted now (%s); trying again in %g s", error, UNAVAILABLE_SECONDS)
            return UNAVAILABLE_SECONDS
        # While there is more to delete, storing gets as much time as deleting: MLflow deletes a trace with its spans,
        # tags and assessments in one transaction, and SQLite has one writer.
        return max(0.0, self._clock() - started) if deleted else CHECK_SECONDS

    def _trim(self, experiment_id: str) -> int:
        """Delete at most one batch of an experiment's traces; return how many."""
        expired: list[str] = []
        if self._retention.days is not None:
            before = int((self._clock() - self._retention.days * DAY_SECONDS) * 1000)
            expired = self._oldest(experiment_id, BATCH, f"trace.timestamp_ms < {before}")
        if not expired and self._retention.traces is not None:
            expired = self._excess(experiment_id, self._retention.traces)
        if not expired:
            return 0
        count = self._store.call(lambda mlflow: mlflow.delete_traces(experiment_id, trace_ids=expired))
        self._deleted.inc(count)
        return count

    def _excess(self, experiment_id: str, most: int) -> list[str]:
        """Return at most one batch of those beyond the `most` newest traces.

        After a count they are known by when the oldest of the newest began, not by their number: another collector may
        delete them at the same time.
        """
        cut, until = self._cuts.get(experiment_id, (0, 0.0))
        if self._clock() < until and (found := self._oldest(experiment_id, BATCH, f"trace.timestamp_ms < {cut}")):
            return found
        self._cuts.pop(experiment_id, None)
        excess = self._store.call(lambda mlflow: _count(mlflow, experiment_id)) - most
        if excess > BATCH:
            cut = self._store.call(lambda mlflow: _start_of(mlflow, experiment_id, excess))
            self._cuts[experiment_id] = (cut, self._clock() + COUNT_SECONDS)
        return self._oldest(experiment_id, min(excess, BATCH)) if excess > 0 else []

    def _oldest(self, experiment_id: str, limit: int, filter_string: str | None = None) -> list[str]:
        """Return the oldest traces that may be deleted, at most `limit`."""
        found: list[str] = []
        for page in self._pages(experiment_id, filter_string):
            kept = self._awaited(page)
            found += [trace_id for trace_id in page if trace_id not in kept]
            if len(found) >= limit:
                break
        return found[:limit]

    def _pages(self, experiment_id: str, filter_string: str | None) -> Iterator[list[str]]:
        token: str | None = ""
        while token is not None:
            traces, token = self._store.call(
                lambda mlflow, token=token: mlflow.search_traces(
                    filter_string=filter_string,
                    max_results=BATCH,
                    order_by=OLDEST_FIRST,
                    page_token=token or None,
                    locations=[experiment_id],
                )
            )
            yield [trace.trace_id for trace in traces]
            token = token or None

    def _awaited(self, trace_ids: Sequence[str]) -> set[str]:
        """Return those of the traces that are open or that a judge will still have to find in MLflow.

        What is being stored may be either; it is asked for first, so that it cannot be recorded between the looks.
        """
        unrecorded = self._store.unrecorded.intersection(trace_ids)
        return unrecorded | self._ledger.open_traces(trace_ids) | self._queue.waiting_traces(trace_ids)


def _count(mlflow: AbstractStore, experiment_id: str) -> int:
    points: Any = mlflow.query_trace_metrics(
        [experiment_id],
        MetricViewType.TRACES,
        TraceMetricKey.TRACE_COUNT,
        [MetricAggregation(AggregationType.COUNT)],
    )
    return int(points[0].values[str(AggregationType.COUNT)]) if points else 0


def _start_of(mlflow: AbstractStore, experiment_id: str, number: int) -> int:
    """Return when the trace began that has that many older ones, in Unix milliseconds; 0 if there is none."""
    token = SearchUtils.create_page_token(number).decode()
    found, _ = mlflow.search_traces(max_results=1, order_by=OLDEST_FIRST, page_token=token, locations=[experiment_id])
    return found[0].request_time if found else 0
