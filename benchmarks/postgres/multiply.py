"""Multiplies stored traces inside PostgreSQL: each copy has an id of its own, and began earlier.

Copying in the database is many times as fast as storing. The rows are those that qualitrace wrote, with their
assessments; ids are random, as real ones are. Secondary indexes are built at the end, so they are as small as after
REINDEX; primary keys grow as in use. The text of a span keeps the id of the trace that it was copied from.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from mlflow.store.tracking.dbmodels.models import SqlAssessments, SqlSpan, SqlTraceInfo, SqlTraceTag

TABLES: tuple[Any, ...] = tuple(model.__table__ for model in (SqlTraceInfo, SqlTraceTag, SqlSpan, SqlAssessments))
"""The tables in which the traces of the load have rows."""

COPIES_AT_ONCE = 20

_NEW = {
    "request_id": "copy.new",
    "trace_id": "copy.new",
    "assessment_id": "'a-' || md5(base.assessment_id || copy.new)",
    "timestamp_ms": "base.timestamp_ms - copy.ms",
    "trace_timestamp_ms": "base.trace_timestamp_ms - copy.ms",
    "created_timestamp": "base.created_timestamp - copy.ms",
    "last_updated_timestamp": "base.last_updated_timestamp - copy.ms",
    "start_time_unix_nano": "base.start_time_unix_nano - copy.ms * 1000000",
    "end_time_unix_nano": "base.end_time_unix_nano - copy.ms * 1000000",
}
"""What differs in a copy, by column."""

Execute = Callable[..., Sequence[Any]]
"""Executes SQL statements in one session; returns the rows of the last."""


def multiply(execute: Execute, spans: int, days: float) -> None:
    """Copy the stored traces until there are that many spans, spread over the last `days`."""
    started = time.monotonic()
    # Copying waits for no disk, and checks no foreign key: what a row refers to is copied with it.
    execute("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()")
    names = ", ".join(f"'{table}'::regclass" for table in TABLES)
    indexes = execute(
        f"""SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
        WHERE indrelid IN ({names}) AND NOT indisprimary"""
    )
    execute(*(f"DROP INDEX {name}" for name, _ in indexes))
    for table in TABLES:
        execute(f"CREATE UNLOGGED TABLE base_{table} AS SELECT * FROM {table}")
    ((stored,),) = execute("SELECT count(*) FROM base_spans")
    copies = -(-spans // stored) - 1
    for last in range(copies, 0, -COPIES_AT_ONCE):  # the oldest first, as they would have come
        execute(*_copying(max(1, last - COPIES_AT_ONCE + 1), last, days * 86_400_000 / copies))
        print(f"{last} of {copies} copies were left {time.monotonic() - started:.0f} s ago", flush=True)
    execute("SET maintenance_work_mem = '1GB'", *(definition for _, definition in indexes))
    execute("DROP TABLE copy", *(f"DROP TABLE base_{table}" for table in TABLES))
    execute("ALTER SYSTEM RESET fsync", "ALTER SYSTEM RESET full_page_writes", "SELECT pg_reload_conf()", "CHECKPOINT")


def _copying(first: int, last: int, ms_apart: float) -> list[str]:
    statements = [
        "SET session_replication_role = replica",
        "DROP TABLE IF EXISTS copy",
        f"""CREATE UNLOGGED TABLE copy AS SELECT request_id AS old, 'tr-' || md5(request_id || number) AS new,
            ((number - random()) * {ms_apart})::bigint AS ms
            FROM base_trace_info, generate_series({last}, {first}, -1) number ORDER BY ms DESC""",
        "ANALYZE copy",
    ]
    for table in TABLES:
        new = {
            column.name: _NEW.get(column.name, f"base.{column.name}") for column in table.columns if not column.computed
        }
        key = "request_id" if "request_id" in new else "trace_id"
        statements.append(
            f"""INSERT INTO {table} ({", ".join(new)}) SELECT {", ".join(new.values())}
            FROM copy JOIN base_{table} base ON base.{key} = copy.old"""
        )
    return statements
