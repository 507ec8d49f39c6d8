"""When a release of a service was first seen, by its scores."""

from dataclasses import dataclass

from qualitrace_collector.state import Database
from qualitrace_monitors.estimate.sums import HOUR

MOST = 20
"""Releases that are returned, the newest ones."""


@dataclass(frozen=True, slots=True)
class Release:
    """A release.

    Attributes:
        first_seen: the beginning of its first hour with a score, Unix seconds.
    """

    name: str
    first_seen: float


def releases(database: Database, judge: str, service: str, since: float) -> list[Release]:
    """Return the releases whose first score came after `since` (Unix seconds), but not the oldest one that is known.

    Of that one nobody knows when it began: it may have been there before scores were.
    """
    query = """
        WITH known AS (SELECT tier, value, min(day) AS day FROM score_day
            WHERE slice = 'release' AND service = :service AND judge = :judge GROUP BY tier, value)
        SELECT value, min((SELECT min(hour) FROM score_hour WHERE slice = 'release' AND judge = :judge
            AND service = :service AND score_hour.tier = known.tier AND score_hour.value = known.value)) AS hour
        FROM known GROUP BY value HAVING hour IS NOT NULL ORDER BY hour"""
    rows = database.connection().execute(query, {"service": service, "judge": judge}).fetchall()
    found = [Release(row["value"], row["hour"] * HOUR) for row in rows[1:]]
    return [release for release in found if release.first_seen >= since][-MOST:]
