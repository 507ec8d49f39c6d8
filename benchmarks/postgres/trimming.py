"""How fast `mlflow.retention` deletes, how long VACUUM takes afterwards, and how large the tables are."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from postgres.multiply import TABLES, Execute
from qualitrace_collector.mlflow_store.retention import Retainer
from qualitrace_collector.mlflow_store.settings import Retention
from qualitrace_collector.mlflow_store.store import TraceStore
from qualitrace_collector.state import Database


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """Attributes: seconds of deleting alone, without the pauses in which storing has its turn."""

    steps: int
    traces: int
    seconds: float
    longest_step: float


def delete(uri: str, folder: Path, retention: Retention, seconds: float) -> Deletion:
    """Let retention delete for so long, or until nothing is left to delete."""
    store, database, registry = (
        TraceStore(uri, folder.as_uri(), "x"),
        Database(folder / "state.db"),
        CollectorRegistry(),
    )
    retainer, took = Retainer(retention, store, database, registry), list[float]()
    while sum(took) < seconds:
        before, started = _deleted(registry), time.monotonic()
        retainer.step()
        took.append(time.monotonic() - started)
        if _deleted(registry) == before:
            break
    database.close()
    return Deletion(steps=len(took), traces=int(_deleted(registry)), seconds=sum(took), longest_step=max(took))


def _deleted(registry: CollectorRegistry) -> float:
    return registry.get_sample_value("qualitrace_traces_deleted_total") or 0.0


def vacuum(execute: Execute) -> float:
    """Run VACUUM (ANALYZE) over the tables of traces; return the seconds."""
    started = time.monotonic()
    execute(*(f"VACUUM (ANALYZE) {table}" for table in TABLES))
    return time.monotonic() - started


def sizes(execute: Execute) -> list[tuple[str, int, int, int]]:
    """Return of each table and index its name, rows, bytes (with long texts), and scans; indexes follow their table."""
    return [
        tuple[Any, ...](row)
        for table in TABLES
        for row in execute(
            f"""SELECT '{table}', reltuples::bigint, pg_table_size(oid), 0 FROM pg_class
            WHERE oid = '{table}'::regclass UNION ALL
            (SELECT indexrelid::regclass::text, 0, pg_relation_size(indexrelid), idx_scan
            FROM pg_stat_user_indexes WHERE relid = '{table}'::regclass ORDER BY 1)"""
        )
    ]
