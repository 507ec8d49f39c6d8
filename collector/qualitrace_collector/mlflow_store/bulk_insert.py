"""Writes complete new traces, and assessments, into MLflow's own tables with few statements.

`SqlAlchemyStore.log_spans` writes one trace at a time, with a dozen statements for each; here a batch takes one
statement a table. A test compares the rows: they are the same. Traces that are not new are left to MLflow, except for
the state and previews in its list. MLflow also writes one assessment a transaction; a disk manages some 60 a second.
"""

from collections.abc import Sequence
from typing import Any

from mlflow.entities import Assessment
from mlflow.store.tracking.dbmodels.models import (
    SqlAssessments,
    SqlEntityAssociation,
    SqlSpan,
    SqlTraceInfo,
    SqlTraceMetadata,
    SqlTraceTag,
)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import insert, select, text

from qualitrace_collector.mlflow_store.headline import Headline
from qualitrace_collector.mlflow_store.table_rows import TableRow, TableRows

CACHE_KIB = 128 << 10
"""For SQLite's pages. Random trace ids touch all of an index, which the default of 2 MiB would read again and again."""

MOST_CACHED_BYTES = 8 << 20
"""Characters of a batch that is written with that cache, which would hold all of it."""

CACHE_KIB_OF_LARGE_ROWS = 2 << 10

_READ_AT_ONCE = 500


def insert_rows(store: SqlAlchemyStore, rows: TableRows) -> set[str]:
    """Write the traces that MLflow does not know yet, all or none; return the ids of those that it knows.

    Raises:
        MlflowException: the database refused; nothing was written.
    """
    # One transaction for all experiments: with one for each, a hundred services would cost a hundred syncs of the disk.
    with store.ManagedSessionMaker(read_only=False) as session:
        if store.db_type == "sqlite":
            # The journal mode stays as MLflow sets it: with batches of some hundred traces WAL was no faster.
            kib = CACHE_KIB if rows.size <= MOST_CACHED_BYTES else CACHE_KIB_OF_LARGE_ROWS
            session.execute(text(f"PRAGMA cache_size = -{kib}"))
        known = _known(session, [row["request_id"] for row in rows.traces])
        new = rows.without(known) if known else rows
        for model, values in (
            (SqlTraceInfo, new.traces),
            (SqlTraceTag, new.tags),
            (SqlTraceMetadata, new.metadata),
            (SqlSpan, new.spans),
            (SqlEntityAssociation, new.associations),
        ):
            if values:
                write = _copy if store.engine.driver == "psycopg" else _insert
                write(session, model.__table__, values)
    return known


def update_headlines(store: SqlAlchemyStore, headlines: Sequence[Headline]) -> None:
    """Set the state and previews of stored traces.

    Raises:
        MlflowException: the database refused; nothing was written.
    """
    with store.ManagedSessionMaker(read_only=False) as session:
        for headline in sorted(headlines, key=lambda headline: headline.trace_id):  # as MLflow locks them
            of_trace = session.query(SqlTraceInfo).filter(SqlTraceInfo.request_id == headline.trace_id)
            if headline.of_child:  # then a root that another collector has stored has the say
                root = select(SqlSpan.span_id).where(
                    SqlSpan.trace_id == headline.trace_id, SqlSpan.parent_span_id.is_(None)
                )
                of_trace = of_trace.filter(~root.exists())
            previews = {"request_preview": headline.request_preview, "response_preview": headline.response_preview}
            known = {name: text for name, text in previews.items() if text is not None}
            of_trace.update({"status": headline.state.value, **known}, synchronize_session=False)


def _insert(session: Any, table: Any, rows: Sequence[TableRow]) -> None:
    # The driver repeats one statement; SQLAlchemy's own insert would look at each value again.
    connection = session.connection()
    statement = insert(table).compile(dialect=connection.dialect, column_keys=list(rows[0]))
    names = statement.positiontup
    values = [tuple(row[name] for name in names) for row in rows] if names else rows
    connection.exec_driver_sql(str(statement), values)


def _copy(session: Any, table: Any, rows: Sequence[TableRow]) -> None:
    # PostgreSQL's COPY takes both sides half as long as one statement a row.
    connection = session.connection()
    quoted = connection.dialect.identifier_preparer
    columns = ", ".join(quoted.quote(name) for name in rows[0])
    statement = f"COPY {quoted.format_table(table)} ({columns}) FROM STDIN"
    with connection.connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(list(row.values()))


def _known(session: Any, trace_ids: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for start in range(0, len(trace_ids), _READ_AT_ONCE):
        ids = trace_ids[start : start + _READ_AT_ONCE]
        known.update(session.execute(select(SqlTraceInfo.request_id).where(SqlTraceInfo.request_id.in_(ids))).scalars())
    return known


def insert_assessments(store: SqlAlchemyStore, assessments: Sequence[Assessment]) -> list[Assessment]:
    """Write assessments that bring their own ids, all or none; those that are there already count as written.

    Returns:
        Those that were left out because MLflow does not know their trace.
    """
    by_id = {str(assessment.assessment_id): assessment for assessment in assessments}
    with store.ManagedSessionMaker(read_only=False) as session:
        there = session.query(SqlAssessments.assessment_id).filter(SqlAssessments.assessment_id.in_(by_id))
        for (assessment_id,) in there:
            del by_id[assessment_id]
        ids = {str(assessment.trace_id) for assessment in by_id.values()}
        wanted = (SqlTraceInfo.request_id, SqlTraceInfo.experiment_id, SqlTraceInfo.timestamp_ms)
        traces = {
            trace_id: (experiment_id, timestamp)
            for trace_id, experiment_id, timestamp in session.query(*wanted).filter(SqlTraceInfo.request_id.in_(ids))
        }
        # In one order: servers that judge the same traces must not wait for each other in a circle.
        known = [by_id[each] for each in sorted(by_id) if by_id[each].trace_id in traces]
        if known:
            session.execute(
                insert(SqlAssessments.__table__), [_assessment_row(item, *traces[str(item.trace_id)]) for item in known]
            )
        overridden = [assessment.overrides for assessment in known if assessment.overrides]
        if overridden:
            invalid = session.query(SqlAssessments).filter(SqlAssessments.assessment_id.in_(overridden))
            invalid.update({"valid": False}, synchronize_session=False)
    return [assessment for assessment in by_id.values() if assessment.trace_id not in traces]


def _assessment_row(assessment: Assessment, experiment_id: int, trace_timestamp_ms: int) -> TableRow:
    # MLflow's class fills the columns; a plain insert of many rows takes half the time of adding them to its session.
    entity = SqlAssessments.from_mlflow_entity(assessment)
    columns = {column.name: getattr(entity, column.name) for column in SqlAssessments.__table__.columns}
    return columns | {"experiment_id": experiment_id, "trace_timestamp_ms": trace_timestamp_ms}
