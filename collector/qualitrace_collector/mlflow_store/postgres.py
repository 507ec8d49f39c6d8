"""PostgreSQL under MLflow: connections that give up on a silent server, and which errors are not a trace's fault.

libpq waits for an answer for ever. A host that is gone without a word, or a proxy that keeps connections open, would
hold the collector up until somebody starts it again.
"""

import time
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import psycopg
from sqlalchemy import Engine, event

ANSWER_SECONDS = 120.0
"""How long a server that owes an answer may be silent, as a tracking server may."""

RESTED_SECONDS = 10.0
"""The same for the first answer after a connection was in the pool, which SQLAlchemy asks for before each use."""

CANCEL_SECONDS = 5.0
"""How long the server is asked to drop what it was doing, so that what waits for a lock does not pile up there."""

_DEFAULTS = {"application_name": "qualitrace", "connect_timeout": 10}
"""Parameters of libpq, unless the URI sets them."""

_FAULTS = (
    "08",  # the connection
    "25",  # the transaction: read-only, as on a standby, or idle for too long
    "28",  # the login
    "3D",  # the database is gone
    "3F",  # the schema is gone
    "40",  # rolled back: deadlocks
    "42501",  # privileges
    "42703",  # a column is gone, or not there yet
    "42P01",  # the same of a table
    "53",  # connections, memory or disk run out
    "55",  # locks, and what cannot be used now
    "57",  # stopped or cancelled by somebody
    "58",  # the server's own files
)
"""The SQLSTATEs, or how they begin, that say nothing about what was written."""


class _Connection(psycopg.Connection[Any]):
    """Raises `OperationalError`, and is closed, when the server owes an answer for too long.

    Attributes:
        rested: nothing was heard since it was in the pool.
    """

    rested = False

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **keywords: Any) -> Any:
        return super().wait(self._until_silent(gen), *arguments, **keywords)

    def _until_silent(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        ready: Any = None
        heard_at = time.monotonic()
        while True:
            try:
                waiting = gen.send(ready)
            except StopIteration as end:
                return end.value
            ready = yield waiting
            most = RESTED_SECONDS if self.rested else ANSWER_SECONDS
            if ready:
                heard_at, self.rested = time.monotonic(), False
            elif time.monotonic() - heard_at > most:
                with suppress(psycopg.Error):
                    self.cancel_safe(timeout=CANCEL_SECONDS)
                self.pgconn.finish()  # so that SQLAlchemy makes another
                raise psycopg.OperationalError(f"PostgreSQL did not answer within {most:g} s")


def set_deadlines(engine: Engine) -> None:
    """Let new connections of an engine raise `OperationalError` when PostgreSQL is silent; safe twice."""
    if engine.driver == "psycopg" and not event.contains(engine, "do_connect", _connect):
        event.listen(engine, "do_connect", _connect)
        event.listen(engine, "checkin", _note_rest)
        engine.dispose()  # those that there are


def _connect(_dialect: Any, _record: Any, arguments: Any, parameters: dict[str, Any]) -> Any:
    return _Connection.connect(*arguments, **_DEFAULTS | parameters)


def _note_rest(connection: Any, _record: Any) -> None:
    if connection is not None:  # it is None if it was given up
        connection.rested = True


def is_fault(error: BaseException | None) -> bool:
    """Return whether an error, or one that led to it, is PostgreSQL's word that it cannot work now."""
    while error is not None:
        if isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(_FAULTS):
            return True
        error = error.__cause__ or error.__context__
    return False
