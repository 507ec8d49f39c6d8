"""Looks at what health cannot see by itself: whether OTLP can be acked, and the state database and MLflow be written.

Each probe looks in the background, so that it can say at once how things are.
"""

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from qualitrace_collector.journal import JournalError, SqliteJournal
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore
from qualitrace_collector.mlflow_store.unavailable import ResourceShortage
from qualitrace_collector.receive.proof import PROOF_SECONDS
from qualitrace_collector.state import Database, StateError
from qualitrace_monitors.server.data_dir_lock import one_at_a_time

ACK_SECONDS = 3 * PROOF_SECONDS + 1
"""How old the last proof that requests can be acked may be: one may be late, and this looks each second."""
ANSWER_SECONDS = 10.0
"""How long MLflow may take to answer before it counts as away."""
SILENCE_SECONDS = 4.0
"""How long it may take before the log says that it is awaited."""
LOCKED_SECONDS = 6.0
"""How long the lock of the state database may be taken: transactions are short, and wait for each other."""
WRITE_SECONDS = 10.0
"""How long a write to MLflow shows that the next will succeed."""
REMINDER_SECONDS = 60.0

_log = logging.getLogger(__name__)


class AckProbe:
    """Watches the proofs that `receive` leaves in the journal."""

    def __init__(self, journal: SqliteJournal, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._clock = clock
        self._proofs: int | None = None
        self._proven_at: float | None = None
        self._unreadable = False

    def look(self) -> None:
        """Look for a new proof."""
        try:
            proofs = self._journal.proofs()
        except JournalError:
            self._unreadable = True
            return
        self._unreadable = False
        if self._proofs is not None and proofs != self._proofs:  # the first number may be of an earlier run
            self._proven_at = self._clock()
        self._proofs = proofs

    def problem(self) -> str:
        """Say why OTLP cannot be acked."""
        if self._unreadable:
            return "the journal cannot be read"
        if self._proven_at is None:
            return "starting: no request was made durable yet"
        silence = self.lasted()
        if silence < ACK_SECONDS:
            return ""
        return f"no request could be made durable for {silence:.0f} s: see the log"

    def lasted(self) -> float:
        """Return how many seconds ago the last proof came; 0 before the first."""
        return 0.0 if self._proven_at is None else self._clock() - self._proven_at


class StateProbe:
    """Takes the lock of the state database, without which nothing is stored, judged or alerted; also thread-safe."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._free_at = clock()
        self._reason = ""

    def look(self) -> None:
        """Wait for the lock, for as long as everybody does."""
        try:
            with self._database.transaction():
                pass
        except sqlite3.Error as error:
            self._reason = f"it cannot be written ({error})"
        except StateError:
            self._reason = "it is damaged: see the log"
        else:
            self._free_at, self._reason = self._clock(), ""

    def problem(self) -> str:
        """Say why the state database cannot be written."""
        if (lasted := self.lasted()) < LOCKED_SECONDS:
            return ""
        return f"{self._reason or 'another process holds its lock'}, for {lasted:.0f} s now"

    def lasted(self) -> float:
        """Return how many seconds ago the lock was last had."""
        return self._clock() - self._free_at


class MlflowProbe:
    """Asks MLflow, and writes to it where nothing else did.

    Attributes:
        answered: whether it ever took a write.

    Args:
        lock: a file that lets one process at a time ask until MLflow has answered. Two of them, as a collector and a
            monitor, must not both make the tables of a new SQLite database.
    """

    def __init__(self, store: TraceStore, lock: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.answered = False
        self._lock = lock
        self._store = store
        self._clock = clock
        self._problem = "starting: it has not answered yet"
        self._asked_at: float | None = None
        self._awaited_since: float | None = None  # the first question since the last good answer
        self._away = False
        self._next_reminder = 0.0

    def look(self) -> None:
        """Ask MLflow; log when it is away, once a minute, and when it is back."""
        self._asked_at = now = self._clock()
        self._awaited_since = now if self._awaited_since is None else self._awaited_since
        problem = "it does not answer"
        try:
            with nullcontext() if self.answered else one_at_a_time(self._lock):
                self._store.check()
            if self._clock() - self._store.wrote_at > WRITE_SECONDS:
                problem = "it cannot be written"
                self._store.check_writable()
        except StoreUnavailable as error:
            if not self._away:
                self._next_reminder = 0.0
            self._problem = error.problem if isinstance(error, ResourceShortage) else problem
            self._away = True
            self._report(f"{error.problem}: {error}; waiting for it")
        else:
            self._problem, self.answered, self._awaited_since = "", True, None
            if self._away:
                _log.warning("MLflow is available again")
            self._away, self._next_reminder = False, 0.0
        finally:
            self._asked_at = None

    def remind(self) -> None:
        """Log, once a minute, that MLflow is silent."""
        if (silence := self.silence()) > SILENCE_SECONDS:
            self._report(f"waiting for MLflow for {silence:.0f} s now: {self._store.shown_uri}")

    def problem(self) -> str:
        """Say what is wrong with MLflow."""
        if self.silence() > ANSWER_SECONDS:
            return f"it does not answer for {self.lasted():.0f} s"
        return self._problem

    def lasted(self) -> float:
        """Return for how many seconds a good answer has been awaited; 0 after one."""
        since = self._awaited_since  # another thread sets it
        return 0.0 if since is None else self._clock() - since

    def silence(self) -> float:
        """Return for how many seconds an answer has been awaited."""
        asked_at = self._asked_at  # another thread sets it
        return 0.0 if asked_at is None else self._clock() - asked_at

    def _report(self, text: str) -> None:
        if self._clock() >= self._next_reminder:
            self._next_reminder = self._clock() + REMINDER_SECONDS
            _log.warning(text)
