"""Patience with MLflow: what it cannot do now is tried again, for so long as a person would wait."""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from tenacity import RetryCallState, Retrying, wait_random_exponential

from qualitrace_collector.config.values import without_credentials
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore, reason

PATIENCE = 120.0
"""Seconds for which one thing is tried while MLflow is busy or away: its server takes a minute to start."""
REFUSALS = 3
"""Tries of what MLflow refuses: its server calls a locked database a refusal, too (422 from `/v1/traces`)."""
LONGEST_WAIT = 5.0
"""Seconds between two tries, at most."""
_LOCKED = "is locked"
"""Part of SQLite's messages for SQLITE_BUSY and SQLITE_LOCKED (sqlite.org/rescode.html)."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Patience:
    """Calls MLflow, again and again where that helps. Thread-safe.

    Once it has waited in vain it waits no more, so that a run ends within about `PATIENCE` of MLflow's going away.
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
            return self._try(ask, _is_busy, refusals)
        except StoreUnavailable as error:
            self._gone = error
            raise

    def first(self, ask: Callable[[], _T]) -> _T:
        """Return what `ask` returns; only a lock is waited for, because at first an address may just be wrong.

        Raises:
            StoreUnavailable, Exception: as above.
        """
        return self._try(ask, _is_locked, 1)

    def _try(self, ask: Callable[[], _T], is_worth: Callable[[BaseException], bool], refusals: int) -> _T:
        def once() -> _T:
            try:
                return self._store.call(lambda _store: ask())
            except Exception as error:
                if _is_locked(error) and not isinstance(error, StoreUnavailable):  # and free again by now
                    raise StoreUnavailable(reason(error)) from error
                raise

        def is_enough(state: RetryCallState) -> bool:
            if (error := _error(state)) is not None and is_worth(error):
                return (state.seconds_since_start or 0.0) >= PATIENCE
            return state.attempt_number >= refusals

        wait = wait_random_exponential(max=LONGEST_WAIT)
        return Retrying(stop=is_enough, wait=wait, before_sleep=self._warn, reraise=True)(once)

    def _warn(self, state: RetryCallState) -> None:
        if not self._warned and isinstance(error := _error(state), Exception):
            self._warned = True
            place = without_credentials(self._store.tracking_uri)
            _log.warning("MLflow at %s: %s: trying again for %.0f seconds", place, why(error), PATIENCE)


def why(error: Exception) -> str:
    """Return what MLflow said, in one line."""
    cause = error.__cause__ if isinstance(error, StoreUnavailable) else None
    return reason(cause if isinstance(cause, Exception) else error)


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, StoreUnavailable)


def _is_locked(error: BaseException) -> bool:
    return _LOCKED in str(error)


def _error(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()


@contextmanager
def quietly() -> Generator[None]:
    """Leave out MLflow's traceback of each failed statement (mlflow/store/db/utils.py): its error is reported once."""
    theirs = logging.getLogger("mlflow.store.db.utils")
    theirs.addFilter(_is_below_error)
    try:
        yield
    finally:
        theirs.removeFilter(_is_below_error)


def _is_below_error(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR
