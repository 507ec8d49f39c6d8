"""Waits for an MLflow that is busy or away, and says why it gave up."""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from tenacity import RetryCallState, Retrying, wait_random_exponential

from qualitrace_collector.masking import masked
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore, reason

# Seconds for which one thing is tried while MLflow is busy or away: its server takes a minute to start.
PATIENCE = 120.0
# Tries of what MLflow refuses: its server calls a locked database a refusal, too (422 from `/v1/traces`).
REFUSALS = 3
LONGEST_WAIT = 5.0  # seconds between two tries, at most

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Patience:
    """Calls MLflow, and retries a call while MLflow is busy or away. Thread-safe.

    It gives up once: after that no call waits, so a run ends within about `PATIENCE` seconds of MLflow's going away.
    """

    def __init__(self, store: TraceStore) -> None:
        self._store = store
        self._gone: StoreUnavailable | None = None
        self._warned = False

    def __call__(self, ask: Callable[[], _T], refusals: int = REFUSALS) -> _T:
        """Return what `ask` returns; it may be called more than once, `refusals` times if MLflow refuses it.

        Raises:
            StoreUnavailable: MLflow is still busy or away.
            Exception: what `ask` raises: MLflow refuses it.
        """
        if self._gone is not None:
            raise self._gone
        try:
            return self._try(ask, lambda error: isinstance(error, StoreUnavailable), refusals)
        except StoreUnavailable as error:
            self._gone = error
            raise

    def first(self, ask: Callable[[], _T]) -> _T:
        """Return what `ask` returns; wait only for a lock, because before the first answer the address may be wrong.

        Raises:
            StoreUnavailable, Exception: as above.
        """
        return self._try(ask, _is_locked, 1)

    def _try(self, ask: Callable[[], _T], is_waited_for: Callable[[BaseException], bool], refusals: int) -> _T:
        def once() -> _T:
            try:
                return self._store.call(lambda _store: ask())
            except Exception as error:
                # The lock may be gone when the store asks whether its database is locked.
                if _is_locked(error) and not isinstance(error, StoreUnavailable):
                    raise StoreUnavailable(reason(error)) from error
                raise

        def is_enough(state: RetryCallState) -> bool:
            if (error := _error(state)) is not None and is_waited_for(error):
                return (state.seconds_since_start or 0.0) >= PATIENCE
            return state.attempt_number >= refusals

        wait = wait_random_exponential(max=LONGEST_WAIT)
        return Retrying(stop=is_enough, wait=wait, before_sleep=self._warn, reraise=True)(once)

    def _warn(self, state: RetryCallState) -> None:
        if not self._warned and isinstance(error := _error(state), Exception):
            self._warned = True
            place = masked(self._store.tracking_uri)
            _log.warning("MLflow at %s: %s: trying again for %.0f seconds", place, why(error), PATIENCE)


def why(error: Exception) -> str:
    """Return what MLflow said, in one line."""
    cause = error.__cause__ if isinstance(error, StoreUnavailable) else None
    return reason(cause if isinstance(cause, Exception) else error)


def _is_locked(error: BaseException) -> bool:
    return "is locked" in str(error)  # SQLite's SQLITE_BUSY and SQLITE_LOCKED (sqlite.org/rescode.html)


def _error(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()


@contextmanager
def without_tracebacks() -> Generator[None]:
    """Leave out MLflow's traceback of each failed statement (mlflow/store/db/utils.py): its error is reported once."""

    def is_below_error(record: logging.LogRecord) -> bool:
        return record.levelno < logging.ERROR

    theirs = logging.getLogger("mlflow.store.db.utils")
    theirs.addFilter(is_below_error)
    try:
        yield
    finally:
        theirs.removeFilter(is_below_error)
