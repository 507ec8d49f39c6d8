"""The least that a database takes: finished rows into MLflow's tables by the bare driver, nothing converted, no ORM.

No writer of these tables can be faster; how far from it we are is what is left to win.
"""

import itertools
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy

from convert.compare import pieces_of
from intake.traces import templates
from qualitrace_collector.convert import convert_all
from qualitrace_collector.mlflow_store.bulk_insert import CACHE_KIB
from qualitrace_collector.mlflow_store.experiments import ExperimentPlace
from qualitrace_collector.mlflow_store.store import TraceStore
from qualitrace_collector.mlflow_store.table_rows import TableRow, TableRows, rows_of
from qualitrace_collector.pipeline.batch import BATCH_SPANS
from store.compare import SERVICE, new_database

SPANS_A_TRACE = 5


def bare_insertion(database: str, seconds: float, postgres: str | None = None) -> float:
    """Return the traces per second of wall-clock time over inserting and committing alone, in batches as in service.

    Args:
        database: `sqlite` or `postgresql`; `postgres` as in `store.compare.compare`.
        seconds: how long to insert; making the rows comes on top.
    """
    with tempfile.TemporaryDirectory(prefix="qualitrace-bench-") as name:
        uri = new_database(Path(name), database, "bare", postgres)
        TraceStore(uri, Path(name).as_uri(), SERVICE).check()
        with closing(sqlalchemy.create_engine(uri).raw_connection()) as connection:
            insert = _into_sqlite if database == "sqlite" else _into_postgres
            took, traces = 0.0, 0
            for rows in _batches():
                started = time.perf_counter()
                insert(connection.cursor(), rows)
                connection.commit()
                took, traces = took + time.perf_counter() - started, traces + len(rows.traces)
                if took >= seconds:
                    break
    return traces / took


def _batches() -> Iterator[TableRows]:
    (template, *_), place = templates(BATCH_SPANS // SPANS_A_TRACE), ExperimentPlace("0", "file:///artifacts")
    for _ in itertools.count():
        traces, _ = convert_all([(piece, SERVICE) for piece in pieces_of(template.fresh())])
        yield rows_of((place, trace) for trace in traces)


def _into_sqlite(cursor: Any, rows: TableRows) -> None:
    cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    for table, values in _tables(rows):
        columns = ", ".join(values[0])
        marks = ", ".join("?" * len(values[0]))
        cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", [tuple(row.values()) for row in values])


def _into_postgres(cursor: Any, rows: TableRows) -> None:
    for table, values in _tables(rows):
        with cursor.copy(f"COPY {table} ({', '.join(values[0])}) FROM STDIN") as copy:
            for row in values:
                copy.write_row(list(row.values()))


def _tables(rows: TableRows) -> list[tuple[str, list[TableRow]]]:
    tables = [("trace_info", rows.traces), ("trace_tags", rows.tags), ("spans", rows.spans)]
    return [*tables, ("trace_request_metadata", rows.metadata)] if rows.metadata else tables
