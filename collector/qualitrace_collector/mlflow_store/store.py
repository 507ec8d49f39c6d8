"""Traces and assessments into MLflow: a database URI or a tracking server, through MLflow's own stores or in bulk.

Writing is idempotent: MLflow upserts spans on (trace id, span id), and assessments carry an id of ours.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar, cast

from mlflow.entities import Assessment, Span, TraceState
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.abstract_store import AbstractStore
from mlflow.tracing.constant import TraceMetadataKey
from mlflow.tracking._tracking_service.utils import _get_store  # pyright: ignore[reportPrivateUsage]
from sqlalchemy import make_url

from qualitrace_collector.config.values import without_credentials
from qualitrace_collector.convert import ConvertedTrace
from qualitrace_collector.convert.mlflow_span import AnySpan
from qualitrace_collector.mlflow_store.experiments import Experiments, PlacedTrace
from qualitrace_collector.mlflow_store.headline import Headline, ended_trace, headline_of
from qualitrace_collector.mlflow_store.settings import Mlflow
from qualitrace_collector.mlflow_store.tested_tables import has_tested_tables

if TYPE_CHECKING:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    from qualitrace_collector.mlflow_store.table_rows import Rows

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_TRANSIENT_CODES = {"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"}


class StoreUnavailable(Exception):
    """MLflow cannot be reached or written to now; the same call may succeed later."""


class TraceStore:
    """Stores converted traces.

    Attributes:
        experiments: which trace goes where.
        unrecorded: ids of the traces that are being stored, and whose outcome is not on record yet: retention keeps
            away from them.

    Args:
        tracking_uri: `sqlite:///…`, `postgresql://…` or `http(s)://…`.
        artifact_uri: where MLflow keeps artifacts of new experiments (databases other than a SQLite file).
        experiment: its name, see `Experiments`.
    """

    def __init__(self, tracking_uri: str, artifact_uri: str, experiment: str) -> None:
        self.tracking_uri = tracking_uri
        self.artifact_uri = artifact_uri
        self.experiments = Experiments(lambda: self._store, experiment)
        self._tested = False
        self._hidden_reported = False
        self.unrecorded: set[str] = set()

    @classmethod
    def of(cls, settings: Mlflow, data_dir: Path) -> Self:
        """Make the store of a configuration; it keeps artifacts in `data_dir`."""
        artifacts = data_dir.resolve() / "artifacts"
        return cls(settings.uri(data_dir), artifacts.as_uri(), settings.experiment)

    @property
    def _store(self) -> AbstractStore:
        return mlflow_store(self.tracking_uri, self.artifact_uri)

    def check(self) -> None:
        """Ask MLflow for the default experiment.

        Raises:
            StoreUnavailable: it does not answer.
        """
        try:
            self._store.search_experiments(max_results=1)
        except Exception as error:
            raise StoreUnavailable(f"{without_credentials(self.tracking_uri)}: {reason(error)}") from error

    def save(self, traces: Sequence[ConvertedTrace]) -> dict[str, Exception]:
        """Store the spans of many traces, bisecting a refused batch until only the guilty traces are out.

        Returns:
            The error of each trace that MLflow refused, by trace id; empty if all are stored.

        Raises:
            StoreUnavailable: nothing can be stored now. What was stored before stays; saving again is harmless.
        """
        groups: dict[tuple[str, bytes], list[ConvertedTrace]] = defaultdict(list)
        left = self._insert_new(self._placed([trace for trace in traces if trace.stored]))
        for place, trace in left:
            groups[place.experiment_id, trace.resource.SerializeToString(deterministic=True)].append(trace)
        refused: dict[str, Exception] = {}
        for (experiment_id, _), group in groups.items():
            self._save_group(experiment_id, group, refused)
        if refused:
            self.experiments.forget()  # one may have been deleted for good: the next try looks for it
        shown = [*(trace for _, trace in left), *(trace for trace in traces if not trace.stored)]
        for late in (False, True):
            whole = [trace.whole for trace in shown if trace.whole and trace.late is late]
            self.show([spans for spans in whole if spans[0].trace_id not in refused], late=late)
        return refused

    def show(self, traces: Sequence[Sequence[AnySpan]], *, late: bool) -> None:
        """Let MLflow's list show state and previews of traces that are stored, each given as all its spans.

        Their local root may have a parent elsewhere, of which MLflow makes an unfinished trace without previews.

        Args:
            late: they were recorded before, so that something else may be shown of them.

        Raises:
            StoreUnavailable: MLflow cannot be reached now.
        """
        if not traces:
            return
        try:
            self._show(traces, late=late)
        except MlflowException as error:  # somebody deleted one, or its experiment
            if len(traces) == 1:
                level = logging.DEBUG if self._hidden_reported else logging.WARNING
                self._hidden_reported = True
                text = "MLflow does not take the state and previews of trace %s (%s); further ones are not reported"
                _log.log(level, text, traces[0][0].trace_id, reason(error))
                return
            for spans in traces:
                self.show([spans], late=late)

    def _show(self, traces: Sequence[Sequence[AnySpan]], *, late: bool) -> None:
        headlines, store = [headline_of(spans) for spans in traces], self._store
        if self._call(lambda: has_tested_tables(store)):
            from qualitrace_collector.mlflow_store.bulk_insert import show_headlines

            self._call(lambda: show_headlines(cast("SqlAlchemyStore", store), headlines))
            return
        for spans, headline in zip(traces, headlines, strict=True):
            if headline.of_child or late:
                self._show_by_api(headline, spans, late=late)

    def _show_by_api(self, headline: Headline, spans: Sequence[AnySpan], *, late: bool) -> None:
        """End the trace as MLflow's clients do; since later spans change none of its sums then, it is ended again."""
        info = self._call(lambda: self._store.get_trace_info(headline.trace_id))
        ended = late and TraceMetadataKey.TRACE_INFO_FINALIZED in info.trace_metadata
        if ended or (headline.of_child and info.state == TraceState.IN_PROGRESS):
            self._call(lambda: self._store.start_trace(ended_trace(headline, info, spans)))

    def takes_rows(self) -> bool:
        """Whether MLflow's tables were tested; if so, it is not asked again: reading waits for those who write.

        Raises:
            StoreUnavailable: MLflow cannot be reached now.
        """
        self._tested = self._tested or self._call(lambda: has_tested_tables(self._store))
        return self._tested

    def rows(self, traces: Sequence[ConvertedTrace]) -> "Rows | None":
        """Return the rows that traces have in tested tables; None if one's content is too odd.

        Raises:
            StoreUnavailable: MLflow cannot be reached now.
        """
        from qualitrace_collector.mlflow_store.table_rows import rows_of

        placed = self._placed(traces)
        try:
            return rows_of(placed)
        except Exception:
            return None

    def read(self, trace_id: str) -> list[Span]:
        """Return all stored spans of a trace, none if it is unknown."""
        return self.read_all([trace_id]).get(trace_id, [])

    def read_all(self, trace_ids: Sequence[str]) -> dict[str, list[Span]]:
        """Return all stored spans of a few traces, by their ids; nothing of one that is unknown."""
        traces = self._call(lambda: self._store.batch_get_traces(list(trace_ids))) if trace_ids else []
        return {trace.info.trace_id: trace.data.spans for trace in traces}

    def call(self, ask: Callable[[AbstractStore], _T]) -> _T:
        """Ask MLflow's own store.

        Raises:
            StoreUnavailable: it cannot be reached now.
        """
        return self._call(lambda: ask(self._store))

    def save_assessment(self, assessment: Assessment) -> None:
        """Write an assessment that carries its own id; present already means done.

        Raises:
            StoreUnavailable: MLflow cannot be reached now.
            MlflowException: the assessment cannot be stored, for example because its trace is gone.
        """
        try:
            self._store.create_assessment(assessment)
        except Exception as error:
            if self._has_assessment(assessment):
                return
            self._raise_if_unavailable(error)
            raise

    def save_assessments(self, assessments: Sequence[Assessment]) -> dict[str, Exception]:
        """Write many assessments that carry their own ids; into a database in one transaction.

        Returns:
            The error of each that MLflow refused, by assessment id; empty if all are stored.

        Raises:
            StoreUnavailable: MLflow cannot be reached now. What was stored before stays; saving again is harmless.
        """
        left, refused, store = assessments, dict[str, Exception](), self._store
        try:
            if has_tested_tables(store):
                from qualitrace_collector.mlflow_store.bulk_insert import insert_assessments

                left = insert_assessments(store, assessments)
        except Exception as error:
            self._raise_if_unavailable(error)  # else one of them is at fault, and one by one it shows which
        for assessment in left:
            try:
                self.save_assessment(assessment)
            except StoreUnavailable:
                raise
            except Exception as error:
                refused[str(assessment.assessment_id)] = error
        return refused

    def _has_assessment(self, assessment: Assessment) -> bool:
        try:
            self._store.get_assessment(str(assessment.trace_id), str(assessment.assessment_id))
        except Exception:
            return False
        return True

    def _placed(self, traces: Sequence[ConvertedTrace]) -> list[PlacedTrace]:
        return [(self._call(lambda: self.experiments.place(trace)), trace) for trace in traces]  # noqa: B023

    def _insert_new(self, traces: list[PlacedTrace]) -> list[PlacedTrace]:
        """Write new traces in bulk where that was tested; return what is left for MLflow's own path.

        That is: known traces, those that the database refuses, and those that another collector was faster with.
        """
        store = self._store
        try:
            if not (traces and has_tested_tables(store)):
                return traces
            from qualitrace_collector.mlflow_store.bulk_insert import insert_rows
            from qualitrace_collector.mlflow_store.table_rows import rows_of

            known = insert_rows(store, rows_of(traces))
            return [placed for placed in traces if placed[1].trace_id in known]
        except Exception as error:
            self._raise_if_unavailable(error)
            middle = len(traces) // 2
            return [*self._insert_new(traces[:middle]), *self._insert_new(traces[middle:])] if middle else traces

    def _save_group(self, experiment_id: str, traces: list[ConvertedTrace], refused: dict[str, Exception]) -> None:
        try:
            self._store.log_spans(experiment_id, [span for trace in traces for span in trace.spans])
        except Exception as error:
            self._raise_if_unavailable(error)
            if len(traces) == 1:
                if not self._saved_where_it_is(traces[0], experiment_id):
                    refused[traces[0].trace_id] = error
                return
            middle = len(traces) // 2
            self._save_group(experiment_id, traces[:middle], refused)
            self._save_group(experiment_id, traces[middle:], refused)

    def _saved_where_it_is(self, trace: ConvertedTrace, tried: str) -> bool:
        """Store spans of a trace that exists in another experiment (another service began it) there."""
        try:
            existing = self._store.get_trace_info(trace.trace_id).experiment_id
            if existing is None or existing == tried:
                return False
            self._store.log_spans(existing, list(trace.spans))
        except MlflowException:
            return False
        return True

    def _call(self, ask: Callable[[], _T]) -> _T:
        try:
            return ask()
        except Exception as error:
            self._raise_if_unavailable(error)
            raise

    def _raise_if_unavailable(self, error: Exception) -> None:
        """Tell MLflow's own faults, for which a server answers 422 or INTERNAL_ERROR too, from those of the data."""
        if _is_transient(error):
            raise StoreUnavailable(reason(error)) from error
        self.check()


def mlflow_store(tracking_uri: str, artifact_uri: str | None = None) -> AbstractStore:
    """Return MLflow's store, the same for the same URIs; a SQLite file has the artifacts of new experiments beside it.

    Args:
        artifact_uri: where another database's are kept; None leaves it to MLflow.
    """
    if tracking_uri.startswith("sqlite") and (path := make_url(tracking_uri).database):
        artifact_uri = (Path(path).resolve().parent / "artifacts").as_uri()
    return _get_store(tracking_uri, artifact_uri)


def _is_transient(error: Exception) -> bool:
    if isinstance(error, MlflowException):
        return error.error_code in _TRANSIENT_CODES
    return isinstance(error, OSError)


def reason(error: Exception) -> str:
    """Return the first line of an error's text without passwords, at most 300 characters."""
    lines = without_credentials(str(error)).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
