"""Uses a second core: another process writes batches into MLflow's database while this one converts the next.

Converting takes as much time as writing. The process starts when batches begin to queue up, and ends when none did for
a minute. Until it has started, and whenever it fails, its owner writes the batch.
"""

import logging
import multiprocessing
import os
import signal
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from typing import TYPE_CHECKING

from qualitrace_collector.convert import ConvertedTrace
from qualitrace_collector.mlflow_store.connection import mlflow_store
from qualitrace_collector.mlflow_store.store import TraceStore
from qualitrace_collector.mlflow_store.tested_tables import has_tested_tables
from qualitrace_collector.process.startup import collect_garbage_seldom, configure_logging, when_parent_ends

if TYPE_CHECKING:
    from qualitrace_collector.mlflow_store.table_rows import TableRows

_log = logging.getLogger(__name__)

Writing = Future[set[str] | None]
"""The ids of the traces that were not written because MLflow knows them; None if nothing was written."""


class Writer:
    """Writes new traces in bulk, in another process; not thread-safe."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store
        self._pool: ProcessPoolExecutor | None = None
        self._started: Future[None] | None = None
        self._used = False
        self._failed = False

    def write(self, traces: Sequence[ConvertedTrace]) -> Writing | None:
        """Begin to write the traces; return None if that is not possible here or now.

        Raises:
            StoreUnavailable: MLflow cannot be reached now.
        """
        self._used = True
        if not self._store.takes_rows():
            return None
        try:
            # Rows are sent, not spans: they take half the time to send, and all decisions stay in one process.
            pool = self._ready()
            rows = self._store.rows(traces) if pool else None
            if pool is None or rows is None:
                return None
            return pool.submit(_insert, self._store.tracking_uri, self._store.artifact_uri, rows)
        except (BrokenExecutor, OSError) as error:  # OSError: too many open files to start one
            _log.warning("the writer process cannot be used (%s); another starts in a minute", error)
            self._failed = True
            self.close()
            return None

    def stop_if_idle(self) -> None:
        """End the process if it had nothing to write since the last call, a minute ago; forget that one has failed."""
        if not self._used:
            self.close()
        self._used = self._failed = False

    def close(self) -> None:
        """End the process at once; the database undoes what it is writing. Safe twice."""
        if self._pool is not None:
            processes = [*self._pool._processes.values()]  # pyright: ignore[reportPrivateUsage]
            self._pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()
        self._pool = self._started = None

    def _ready(self) -> ProcessPoolExecutor | None:
        if self._failed:
            return None
        if self._pool is None or self._started is None:
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_set_up)
            self._started = self._pool.submit(_do_nothing)  # done as soon as the process has started
        return self._pool if self._started.done() else None


def has_second_core() -> bool:
    """Return whether this process may run on more than one core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # not on macOS
    return cores > 1


def wait_until_written(writing: Writing) -> set[str] | None:
    """Wait for what `Writer.write` began, and return its result; None also if the process has ended."""
    try:
        return writing.result()
    except Exception as error:
        _log.warning("the writer process failed: %s", error or type(error).__name__)
        return None


def _do_nothing() -> None:
    pass


def _insert(tracking_uri: str, artifact_uri: str, rows: "TableRows") -> set[str] | None:
    store = mlflow_store(tracking_uri, artifact_uri)
    try:
        if not has_tested_tables(store):
            return None
        from qualitrace_collector.mlflow_store.bulk_insert import insert_rows

        return insert_rows(store, rows)
    except Exception as error:  # the owner repeats it and finds out what is at fault
        _log.debug("not written: %s", error)
        return None


def _set_up() -> None:
    # Only its parent ends this process, by killing it or by ending.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    configure_logging()
    collect_garbage_seldom()
    parent = multiprocessing.parent_process()  # its id as of the start: it may have ended during the imports
    when_parent_ends(lambda: os._exit(0), parent and parent.pid)
