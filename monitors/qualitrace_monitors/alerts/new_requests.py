"""From requests to bets, as `new_scores.py` does it for scores: one for each, or for each session that is over."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from qualitrace_monitors.alerts.new_scores import AT_ONCE, SESSION_SCORES, SESSION_SECONDS, Bet
from qualitrace_monitors.alerts.settings import AlertRule

_ENDED = """
    SELECT service, session FROM new_request WHERE session != '' GROUP BY service, session
    HAVING count(*) >= ? OR max(at) <= ? OR min(at) <= ? OR max(at) > ? ORDER BY min(sequence) LIMIT ?"""


@dataclass(frozen=True, slots=True)
class RequestGroup:
    """Requests that bet together: one, or those of a session."""

    service: str
    rows: Sequence[sqlite3.Row]

    def bet(self, rule: AlertRule) -> Bet | None:
        """Return the share that is bad by a rule, of those that it is about; None if none says."""
        is_bad = _badness(rule)
        verdicts = [bad for row in self.rows if self._is_of(rule, row) and (bad := is_bad(row)) is not None]
        if not verdicts:
            return None
        share = sum(verdicts) / len(verdicts)
        return Bet(
            judge="", tier="", version="", service=self.service, weight=1.0, value=share, passed=1 - share,
            failed=share, at=max(row["at"] for row in self.rows), of_session=len(verdicts) > 1,
        )  # fmt: skip

    def bad_traces(self, rule: AlertRule) -> list[str]:
        """Return the ids of those that are bad by a rule."""
        is_bad = _badness(rule)
        return [row["trace_id"] for row in self.rows if self._is_of(rule, row) and is_bad(row)]

    def _is_of(self, rule: AlertRule, row: sqlite3.Row) -> bool:
        return rule.match is None or rule.match.holds({**json.loads(row["slices"]), "service": self.service}.get)


def _badness(rule: AlertRule) -> Callable[[sqlite3.Row], bool | None]:
    """Return what says of a request whether it is bad; None where it cannot."""
    if rule.when.quantity == "error_rate":
        return lambda row: bool(row["error"])
    column = "seconds" if rule.when.quantity.endswith("_duration") else "first_token"
    return lambda row: None if row[column] is None else row[column] > rule.when.threshold


def take_requests(connection: sqlite3.Connection, now: float, silence: float) -> tuple[list[RequestGroup], bool]:
    """Take what has come, in the caller's transaction: single requests, and sessions that are over.

    Args:
        now: Unix seconds.
        silence: seconds after which a session is over.

    Returns:
        the requests, and whether there may be more to take.
    """
    rows = connection.execute(
        "SELECT * FROM new_request WHERE session = '' ORDER BY sequence LIMIT ?", (AT_ONCE,)
    ).fetchall()
    _delete(connection, rows)
    # A clock that was set back would keep a session open: what came after now has ended, too.
    limits = (SESSION_SCORES, now - silence, now - SESSION_SECONDS, now, AT_ONCE)
    ended = connection.execute(_ENDED, limits).fetchall()
    sessions = [*_sessions(connection, ended)]
    return [*(RequestGroup(row["service"], [row]) for row in rows), *sessions], max(len(rows), len(ended)) >= AT_ONCE


def _sessions(connection: sqlite3.Connection, ended: Iterable[sqlite3.Row]) -> Iterator[RequestGroup]:
    for key in ended:
        rows = connection.execute("SELECT * FROM new_request WHERE service = ? AND session = ?", tuple(key)).fetchall()
        _delete(connection, rows)
        yield RequestGroup(key["service"], rows)


def _delete(connection: sqlite3.Connection, rows: Iterable[sqlite3.Row]) -> None:
    connection.executemany("DELETE FROM new_request WHERE sequence = ?", [(row["sequence"],) for row in rows])
