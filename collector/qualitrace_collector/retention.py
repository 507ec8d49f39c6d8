"""Deletes the traces in MLflow that are older or more than `mlflow.retention` allows, a few at a time.

Small batches, with pauses between them, let storing go on: MLflow deletes a trace with its spans, tags and assessments
in one transaction, and SQLite has one writer.
"""

import logging
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter

from qualitrace_collector.config.models import Retention
from qualitrace_collector.store import StoreUnavailable, TraceStore

_log = logging.getLogger(__name__)

BATCH = 100
BATCH_PAUSE_SECONDS = 0.5
CHECK_SECONDS = 60.0
DAY_SECONDS = 86_400.0


class Retainer:
    """Enforces the retention of every experiment that a collector writes to.

    Args:
        clock: Unix seconds.
    """

    def __init__(
        self,
        retention: Retention,
        store: TraceStore,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._retention = retention
        self._store = store
        self._clock = clock
        self._deleted = Counter(
            "qualitrace_traces_deleted", "Traces that retention deleted from MLflow.", registry=registry
        )

    def step(self) -> float:
        """Delete at most a batch of each experiment; return the seconds to wait before the next step."""
        try:
            deleted = sum(self._delete_some(experiment) for experiment in self._store.written_experiments())
        except StoreUnavailable as error:
            _log.warning("retention waits: MLflow is not available (%s)", error)
            return CHECK_SECONDS
        self._deleted.inc(deleted)
        return BATCH_PAUSE_SECONDS if deleted else CHECK_SECONDS

    def _delete_some(self, experiment_id: str) -> int:
        now, deleted = self._clock(), 0
        if self._retention.days is not None:
            deleted = self._store.delete_oldest(experiment_id, BATCH, now - self._retention.days * DAY_SECONDS)
        if self._retention.traces is not None and deleted < BATCH:
            excess = self._store.count(experiment_id, self._retention.traces + BATCH) - self._retention.traces
            if excess > 0:
                deleted += self._store.delete_oldest(experiment_id, min(excess, BATCH), now)
        return deleted
