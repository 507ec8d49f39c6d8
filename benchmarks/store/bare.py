"""The least that SQLite takes: finished rows into MLflow's tables by the bare driver, nothing converted, no ORM.

No writer of these tables can be faster; how far from it we are is what is left to win.
"""

import itertools
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from convert.compare import pieces_of
from intake.traces import templates
from qualitrace_collector.bulk import CACHE_KIB
from qualitrace_collector.convert import convert_all
from qualitrace_collector.experiments import Place
from qualitrace_collector.pending import BATCH_SPANS
from qualitrace_collector.rows import Row, Rows, rows_of
from qualitrace_collector.store import TraceStore
from store.compare import SERVICE

SPANS_A_TRACE = 5


def bare_insertion(seconds: float) -> float:
    """Return the traces per second of wall-clock time over inserting and committing alone, in batches as in service.

    Args:
        seconds: how long to insert; making the rows comes on top.
    """
    with tempfile.TemporaryDirectory(prefix="qualitrace-bench-") as name:
        path = Path(name) / "mlflow.db"
        TraceStore(f"sqlite:///{path}", Path(name).as_uri(), SERVICE).check()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            took, traces = 0.0, 0
            for rows in _batches():
                started = time.perf_counter()
                _insert(connection, rows)
                took, traces = took + time.perf_counter() - started, traces + len(rows.traces)
                if took >= seconds:
                    break
    return traces / took


def _batches() -> Iterator[Rows]:
    (template, *_), place = templates(BATCH_SPANS // SPANS_A_TRACE), Place("0", "file:///artifacts")
    for _ in itertools.count():
        traces, _ = convert_all([(piece, SERVICE) for piece in pieces_of(template.fresh())])
        yield rows_of((place, trace) for trace in traces)


def _insert(connection: sqlite3.Connection, rows: Rows) -> None:
    tables = {"trace_info": rows.traces, "trace_tags": rows.tags, "spans": rows.spans}
    if rows.metadata:
        tables["trace_request_metadata"] = rows.metadata
    for table, values in tables.items():
        connection.executemany(_statement(table, values[0]), (tuple(row.values()) for row in values))
    connection.commit()


def _statement(table: str, row: Row) -> str:
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
