"""A database that another process holds locked, and MLflow's patience with it made short."""

import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
connection.execute(f"BEGIN {sys.argv[2]}")
print("locked", flush=True)
sys.stdin.read()
"""


class Lock:
    """Held by a process of its own from `hold` to `release`, either of which may be called again. Thread-safe."""

    def __init__(self, path: Path, kind: str = "EXCLUSIVE") -> None:
        self._command = [sys.executable, "-c", _HOLD, str(path), kind]
        self._process: subprocess.Popen[bytes] | None = None
        self._one_at_a_time = threading.Lock()

    def hold(self) -> None:
        """Return when the database is locked."""
        with self._one_at_a_time:
            if self._process is None:
                self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                assert self._process.stdout is not None
                assert self._process.stdout.readline() == b"locked\n"

    def release(self) -> None:
        """Let go."""
        with self._one_at_a_time:
            if self._process is not None and self._process.returncode is None:
                self._process.communicate()


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Have another process hold SQLite's exclusive lock on a database in the block."""
    lock = Lock(path)
    lock.hold()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def refusals(on_refusal: Callable[[int], Any] = lambda count: None) -> Generator[None]:
    """Have MLflow wait 50 ms for a locked database instead of 20 s, and call back with the number of refusals.

    A new connection waits for as long as Python's driver does (5 s by default) until MLflow sets its own time.
    """
    count = 0

    def connect(dialect: Any, record: Any, arguments: Any, keywords: dict[str, Any]) -> None:
        keywords["timeout"] = 0.05

    def hurry(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> tuple[str, Any]:
        return statement.replace("busy_timeout = 20000", "busy_timeout = 50"), parameters

    def refused(context: Any) -> None:
        nonlocal count
        if "is locked" in str(context.original_exception):
            count += 1
            on_refusal(count)

    event.listen(Engine, "do_connect", connect)
    event.listen(Engine, "before_cursor_execute", hurry, retval=True)
    event.listen(Engine, "handle_error", refused)
    try:
        yield
    finally:
        event.remove(Engine, "do_connect", connect)
        event.remove(Engine, "before_cursor_execute", hurry)
        event.remove(Engine, "handle_error", refused)
