"""The services whose names are in use, by tenant: how many there may be, and when one makes room for another.

A name that was not seen for long is given up: its experiment in MLflow stays, its totals are added to those of `other`,
and its Prometheus series end. `counted` is not added, since a jump in the counter of `other` would look like traffic.
"""

import json
import logging
import sqlite3
from typing import NamedTuple

from qualitrace_collector.names import OTHER, BoundedNames, clean
from qualitrace_collector.state.database import Database

_log = logging.getLogger(__name__)

# How many tenants may use their whole limit at once: the names of all tenants end in the same Prometheus.
FULL_TENANTS = 5
WARNING_SECONDS = 3600.0

REMEDY = (
    "let applications send a service.name without ids, versions or hosts, or raise mlflow.max_experiments; a name "
    "that is not seen for mlflow.forget_services_after makes room"
)


class Usage(NamedTuple):
    """How many names of services a tenant (empty: those without one) has."""

    tenant: str
    services: int


class ServiceNames:
    """Bounds the names of services; not thread-safe.

    Args:
        limit: names that a tenant may have.
        keep_seconds: a name that was not seen for so long makes room.
    """

    def __init__(self, database: Database, limit: int, keep_seconds: float) -> None:
        self._database = database
        self._limit, self._keep_seconds = limit, keep_seconds
        self._saved_at, self._warned_at = 0.0, -WARNING_SECONDS
        with database.transaction() as connection:
            # A database that was written before there was this table has its names in the ledger alone.
            connection.execute(
                "INSERT INTO service SELECT DISTINCT '', service, coalesce((SELECT max(recorded_at) FROM trace), 0) "
                "FROM ledger WHERE NOT EXISTS (SELECT 1 FROM service) AND service != ?",
                (OTHER,),
            )
        seen = [(row[0], row[1], row[2]) for row in database.rows("SELECT tenant, name, seen_at FROM service")]
        self._known = {(tenant, name) for tenant, name, _ in seen}
        self._names = BoundedNames(limit, limit * FULL_TENANTS, seen)

    def bound(self, name: str, tenant: str, now: float) -> str:
        """Return the name that a service is stored and counted under."""
        bounded = self._names.bound(name, tenant, now)
        if bounded == OTHER:
            self._warn(name, tenant, now)
        elif (tenant, bounded) not in self._known:
            with self._database.transaction() as connection:
                _save(connection, [(tenant, bounded, now)])
            self._known.add((tenant, bounded))
        return bounded

    def forget_unseen(self, now: float) -> set[str]:
        """Save when names were seen, and give up those that were not seen for long; return them."""
        with self._database.transaction() as connection:
            _save(connection, self._names.seen_since(self._saved_at))
            # A replay changes the totals of its service.
            busy = [row[0] for row in connection.execute("SELECT DISTINCT service FROM dead_letter")]
            before = now - self._keep_seconds
            names = _names(connection)
            connection.execute(
                "DELETE FROM service WHERE seen_at < ? AND name NOT IN (SELECT value FROM json_each(?))",
                (before, json.dumps(busy)),
            )
            gone = names - _names(connection)  # those that no tenant has any more
            for name in gone:
                _fold(connection, name)
        self._names.forget(before, busy)  # not before that is durable: what failed is tried again
        self._saved_at = now
        self._known = {(tenant, name) for tenant, name, _ in self._names.seen_since(0.0)}
        return gone

    def _warn(self, name: str, tenant: str, now: float) -> None:
        if now - self._warned_at >= WARNING_SECONDS and clean(name) != OTHER:
            self._warned_at = now
            whose = f"tenant {tenant}" if tenant else "the senders"
            text = "service %r is called other: %s, or all together, sent too many names (%d); %s"
            _log.warning(text, clean(name), whose, self._limit, REMEDY)

    @staticmethod
    def usage(database: Database) -> list[Usage]:
        """Return how many names each tenant has, most first."""
        rows = database.rows("SELECT tenant, count(*) AS n FROM service GROUP BY tenant ORDER BY n DESC, tenant")
        return [Usage(row[0], row[1]) for row in rows]


def _save(connection: sqlite3.Connection, seen: list[tuple[str, str, float]]) -> None:
    connection.executemany("INSERT OR REPLACE INTO service VALUES (?, ?, ?)", seen)


def _names(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM service")}


def _fold(connection: sqlite3.Connection, name: str) -> None:
    connection.execute(
        "INSERT INTO ledger SELECT judge, ?, outcome, total, 0 FROM ledger WHERE service = ? "
        "ON CONFLICT (judge, service, outcome) DO UPDATE SET total = total + excluded.total",
        (OTHER, name),
    )
    for table in ("ledger", "coverage", "coverage_late", "coverage_source", "untraced"):
        connection.execute(f"DELETE FROM {table} WHERE service = ?", (name,))  # our own words
