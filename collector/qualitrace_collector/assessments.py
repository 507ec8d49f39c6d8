"""Many assessments in one transaction, through MLflow's own table classes.

MLflow writes one assessment a transaction, which a disk takes some 60 of a second. The rows are those that
`SqlAlchemyStore.create_assessment` would have written.
"""

from collections.abc import Sequence
from typing import Any

from mlflow.entities import Assessment
from mlflow.store.tracking.dbmodels.models import SqlAssessments, SqlTraceInfo
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import insert


def insert_assessments(store: SqlAlchemyStore, assessments: Sequence[Assessment]) -> list[Assessment]:
    """Write assessments that carry ids of their own, all or none; those that are there already count as written.

    Returns:
        Those that were left out, because MLflow does not know their trace.
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
        known = [assessment for assessment in by_id.values() if assessment.trace_id in traces]
        if known:
            session.execute(
                insert(SqlAssessments.__table__), [_row(item, *traces[str(item.trace_id)]) for item in known]
            )
        overridden = [assessment.overrides for assessment in known if assessment.overrides]
        if overridden:
            invalid = session.query(SqlAssessments).filter(SqlAssessments.assessment_id.in_(overridden))
            invalid.update({"valid": False}, synchronize_session=False)
    return [assessment for assessment in by_id.values() if assessment.trace_id not in traces]


def _row(assessment: Assessment, experiment_id: int, trace_timestamp_ms: int) -> dict[str, Any]:
    """Return the columns as MLflow's own class fills them; a plain insert of many rows costs half of its session's."""
    made = SqlAssessments.from_mlflow_entity(assessment)
    own = {name: getattr(made, name) for name in _COLUMNS}
    return {**own, "experiment_id": experiment_id, "trace_timestamp_ms": trace_timestamp_ms}


_COLUMNS = tuple(column.name for column in SqlAssessments.__table__.columns)
