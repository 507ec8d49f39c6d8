"""Errors that say nothing about a trace: MLflow is away, or this computer lacks memory, disk or file descriptors."""

import errno
import sqlite3

from qualitrace_collector.masking import masked

_ERRNOS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT}
_SQLITE_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_IOERR}


class StoreUnavailable(Exception):
    """MLflow cannot be reached or written to now; the same call may succeed later."""


def is_shortage(error: BaseException | None) -> bool:
    """Return whether an error, or one that led to it, is a lack of resources of this computer."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _ERRNOS):
            return True
        # SQLite's extended codes have the kind of error in their low byte.
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _SQLITE_CODES:
            return True
        error = error.__cause__ or error.__context__
    return False


def reason(error: Exception) -> str:
    """Return the first line of an error's text without passwords, at most 300 characters."""
    lines = masked(str(error)).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
