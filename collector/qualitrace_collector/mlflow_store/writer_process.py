"""A process that writes batches into MLflow's database while the next ones are converted: use of a second core.

Converting takes as much of a core as writing. The process is started when batches begin to queue up, and ended when
none did for a while; until it is up, and whenever it fails, a batch is written by its owner.
"""

import logging
import multiprocessing
import os
import signal
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from typing import TYPE_CHECKING

from qualitrace_collector.convert import ConvertedTrace
from qualitrace_collector.mlflow_store.store import TraceStore, mlflow_store
from qualitrace_collector.mlflow_store.tested_tables import has_tested_tables
from qualitrace_collector.process.startup import collect_garbage_seldom, configure_logging, when_parent_ends

if TYPE_CHECKING:
    from qualitrace_collector.mlflow_store.table_rows import Rows

_log = logging.getLogger(__name__)

Writing = Future[set[str] | None]
"""The ids of the traces that were known already and not written; None if nothing was written."""


class Writer:
    """Writes new traces in bulk, in a process of its own; not thread-safe."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store
        self._pool: ProcessPoolExecutor | None = None
        self._up: Future[None] | None = None
        self._used = False
        self._failed = False

    def write(self, traces: Sequence[ConvertedTrace]) -> Writing | None:
        """Begin to write; None if it cannot be done here or now.

        Raises:
            StoreUnavailable: MLflow cannot be reached now.
        """
        self._used = True
        pool = self._ready() if self._store.takes_rows() else None
        rows = self._store.rows(traces) if pool else None
        if pool is None or rows is None:
            return None
        try:
            return pool.submit(_insert, self._store.tracking_uri, self._store.artifact_uri, rows)
        except BrokenExecutor as error:
            _log.warning("the process that writes ended by itself (%s); another is tried in a minute", error)
            self._failed = True
            self.close()
            return None

    def rest(self) -> None:
        """End the process if it was not needed since the last call; forget that one has failed. Once a minute."""
        if not self._used:
            self.close()
        self._used = self._failed = False

    def close(self) -> None:
        """End the process, and undo what it writes now: a stop would wait for it; safe twice."""
        if self._pool is not None:
            processes = [*self._pool._processes.values()]  # pyright: ignore[reportPrivateUsage]
            self._pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()
        self._pool = self._up = None

    def _ready(self) -> ProcessPoolExecutor | None:
        if self._failed:
            return None
        if self._pool is None or self._up is None:
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_start)
            self._up = self._pool.submit(_nothing)
        return self._pool if self._up.done() else None


def has_second_core() -> bool:
    """Whether this process may run on more than one core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # not on macOS
    return cores > 1


def written(writing: Writing) -> set[str] | None:
    """Wait for what `Writer.write` began, and return its result; None, too, if the process was ended."""
    try:
        return writing.result()
    except Exception as error:
        _log.warning("the process that writes failed: %s", error or type(error).__name__)
        return None


def _nothing() -> None:
    """Show that the process is up."""


def _insert(tracking_uri: str, artifact_uri: str, rows: "Rows") -> set[str] | None:
    store = mlflow_store(tracking_uri, artifact_uri)
    try:
        if not has_tested_tables(store):
            return None
        from qualitrace_collector.mlflow_store.bulk_insert import insert_rows

        return insert_rows(store, rows)
    except Exception as error:  # the owner tries it again and finds out whose fault it is
        _log.debug("not written: %s", error)
        return None


def _start() -> None:
    """Set up the process: its parent alone ends it, also by ending."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    configure_logging()
    collect_garbage_seldom()
    parent = multiprocessing.parent_process()  # its id as of the start: it may have ended during the imports
    when_parent_ends(lambda: os._exit(0), parent and parent.pid)
