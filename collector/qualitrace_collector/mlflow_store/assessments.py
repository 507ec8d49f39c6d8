"""Assessments as MLflow keeps them; each brings its own id, so that it is written once."""

from collections.abc import Sequence

from mlflow.entities import Assessment

from qualitrace_collector.mlflow_store.batches import UNTRIED, Progress
from qualitrace_collector.mlflow_store.connection import Connection
from qualitrace_collector.mlflow_store.tested_tables import has_tested_tables
from qualitrace_collector.mlflow_store.unavailable import StoreUnavailable, Unanswered


class AssessmentWriter:
    """Writes assessments."""

    def __init__(self, mlflow: Connection) -> None:
        self._mlflow = mlflow
        # What a call has written when it fails in the middle. A server takes these one by one: if each try started
        # over, a bad line would let no large batch through.
        self._written: set[str] = set()

    def save(self, assessments: Sequence[Assessment]) -> dict[str, Exception]:
        """Write assessments, into a database in one transaction. One that is there already counts as written.

        Returns:
            The error of each that MLflow refused, or did not answer to although it answers (`Unanswered`), by
            assessment id; empty if all are stored.

        Raises:
            StoreUnavailable: MLflow is away.
        """
        left, refused, progress = self._insert(assessments), dict[str, Exception](), Progress()
        for assessment in left:
            name = str(assessment.assessment_id)
            if name in self._written:
                continue
            if progress.hopeless:
                refused[name] = StoreUnavailable(UNTRIED)
                continue
            try:
                self._mlflow.store.create_assessment(assessment)
            except Exception as error:
                self._mlflow.raise_if_unavailable(error)
                progress.unanswered += isinstance(error, Unanswered)
                if not self._is_there(assessment):
                    refused[name] = error
                    continue
            progress.taken = True
            self._written.add(name)
        self._written.difference_update(str(assessment.assessment_id) for assessment in left)
        return refused

    def _insert(self, assessments: Sequence[Assessment]) -> Sequence[Assessment]:
        """Insert assessments in bulk where that was tested; return those that are left for MLflow's own method."""
        store = self._mlflow.store
        try:
            if has_tested_tables(store):
                from qualitrace_collector.mlflow_store.bulk_insert import insert_assessments

                return insert_assessments(store, assessments)
        except Exception as error:
            self._mlflow.raise_if_unavailable(error)  # else one of them is at fault; written one by one, that one shows
        return assessments

    def _is_there(self, assessment: Assessment) -> bool:
        try:
            self._mlflow.store.get_assessment(str(assessment.trace_id), str(assessment.assessment_id))
        except Exception as error:
            self._mlflow.raise_if_unavailable(error)
            return False
        return True
