"""Stores traces and assessments in MLflow: the one face of a database or a tracking server.

Writing is idempotent: MLflow upserts spans on (trace id, span id), and an assessment brings its own id.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from mlflow.entities import Assessment, Span
from mlflow.store.tracking.abstract_store import AbstractStore
from opentelemetry.sdk.resources import Resource

from qualitrace_collector.convert import ConvertedTrace
from qualitrace_collector.convert.mlflow_span import AnySpan
from qualitrace_collector.convert.prompts import searched_prompts
from qualitrace_collector.mlflow_store.assessments import AssessmentWriter
from qualitrace_collector.mlflow_store.batches import Progress, write_in_halves
from qualitrace_collector.mlflow_store.connection import Connection
from qualitrace_collector.mlflow_store.experiments import Experiments, PlacedTrace
from qualitrace_collector.mlflow_store.headline_writer import HeadlineWriter
from qualitrace_collector.mlflow_store.settings import Mlflow
from qualitrace_collector.mlflow_store.tested_tables import has_tested_tables
from qualitrace_collector.mlflow_store.unavailable import StoreUnavailable, reason
from qualitrace_collector.mlflow_store.writable import try_to_write

if TYPE_CHECKING:
    from qualitrace_collector.mlflow_store.table_rows import TableRows

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

READ_AT_ONCE = 50
"""Traces that are read with one request, whose address names them all."""


class TraceStore:
    """Stores converted traces and assessments. Every method may raise `StoreUnavailable`.

    Attributes:
        experiments: finds the experiment of a trace.
        wrote_at: when MLflow last took traces, by `time.monotonic`; minus infinity if it never did.
        unrecorded: ids of the traces that are being stored and have no outcome in the ledger yet; retention leaves
            them alone.

    Args:
        tracking_uri: `sqlite:///…`, `postgresql://…` or `http(s)://…`.
        artifact_uri: where MLflow keeps artifacts of new experiments (databases other than a SQLite file).
        experiment: its name, see `Experiments`.
    """

    def __init__(self, tracking_uri: str, artifact_uri: str, experiment: str) -> None:
        self.tracking_uri = tracking_uri
        self.artifact_uri = artifact_uri
        self._mlflow = Connection(tracking_uri, artifact_uri)
        self.experiments = Experiments(lambda: self._store, experiment)
        self.wrote_at = -math.inf
        self._tested = False
        self.unrecorded: set[str] = set()
        self._headlines = HeadlineWriter(self._mlflow)
        self._assessments = AssessmentWriter(self._mlflow)

    @classmethod
    def of(cls, settings: Mlflow, data_dir: Path) -> Self:
        """Make the store of a configuration; it keeps artifacts in `data_dir`."""
        artifacts = data_dir.resolve() / "artifacts"
        return cls(settings.uri(data_dir), artifacts.as_uri(), settings.experiment)

    @property
    def shown_uri(self) -> str:
        """The tracking URI without credentials."""
        return self._mlflow.shown_uri

    @property
    def _store(self) -> AbstractStore:
        return self._mlflow.store

    def check(self) -> None:
        """Raise `StoreUnavailable` if MLflow does not answer."""
        self._mlflow.check()

    def check_writable(self) -> None:
        """Raise `StoreUnavailable` if MLflow answers but cannot be written; a database is left as it was."""
        try:
            try_to_write(self._store)
        except Exception as error:
            raise StoreUnavailable(f"{self.shown_uri}: cannot be written: {reason(error)}") from error

    def call(self, ask: Callable[[AbstractStore], _T]) -> _T:
        """Call MLflow's own store; `StoreUnavailable` takes the place of errors that are not the data's fault."""
        with self._mlflow.asking() as mlflow:
            return ask(mlflow)

    def save(self, traces: Sequence[ConvertedTrace]) -> dict[str, Exception]:
        """Store the spans of many traces, and show the state and previews of those that are whole.

        What was stored before a `StoreUnavailable` stays; saving it again is harmless.

        Returns:
            The error of each trace that MLflow refused, or did not answer to although it answers (`Unanswered`), by
            trace id; empty if all are stored.
        """
        left = self._insert_new(self._placed([trace for trace in traces if trace.stored]))
        groups: dict[tuple[str, bytes], list[ConvertedTrace]] = defaultdict(list)
        for place, trace in left:
            groups[place.experiment_id, trace.resource.SerializeToString(deterministic=True)].append(trace)
        refused: dict[str, Exception] = {}
        progress = Progress()
        for (experiment_id, _), group in groups.items():
            for trace, error in write_in_halves(self._mlflow, partial(self._log_spans, experiment_id), group, progress):
                if progress.hopeless or not self._is_there(trace, experiment_id):
                    refused[trace.trace_id] = error
        if refused:
            self.experiments.forget()  # one may have been deleted for good: the next attempt looks for it
        self._link_prompts([trace for _, trace in left if trace.trace_id not in refused])
        # Bulk inserts write state and previews with the trace; for the others they are set now.
        shown = [*(trace for _, trace in left), *(trace for trace in traces if not trace.stored)]
        for late in (False, True):
            whole = [trace.whole for trace in shown if trace.whole and trace.late is late]
            there = [spans for spans in whole if spans[0].trace_id not in refused]
            refused |= self._headlines.save(there, late=late)
        return refused

    def show(self, traces: Sequence[Sequence[AnySpan]], *, late: bool) -> None:
        """Set the state and previews that MLflow's list shows of stored traces.

        MLflow takes them from a span without a parent. Where the local root has a parent elsewhere it would show
        an unfinished trace without previews.

        Args:
            traces: all spans of each.
            late: they were recorded before, so that MLflow may show something else now.
        """
        for error in self._headlines.save(traces, late=late).values():
            raise error

    def takes_rows(self) -> bool:
        """Return whether traces can be written as table rows."""
        # A yes is kept: to ask again would wait for a transaction that is writing.
        self._tested = self._tested or self.call(has_tested_tables)
        return self._tested

    def rows(self, traces: Sequence[ConvertedTrace]) -> "TableRows | None":
        """Return the rows of traces for tested tables; None if a trace has content that cannot be written so."""
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
        """Return all stored spans of traces by trace id, without those that are unknown.

        Each span has the trace's tags as its resource: MLflow makes the one from the other.
        """
        found: dict[str, list[Span]] = {}
        for start in range(0, len(trace_ids), READ_AT_ONCE):
            some = list(trace_ids[start : start + READ_AT_ONCE])
            traces = self.call(lambda mlflow, some=some: mlflow.batch_get_traces(some))
            for trace in traces:
                found[trace.info.trace_id] = trace.data.spans
                resource = Resource(trace.info.tags)
                for span in trace.data.spans:
                    span._span._resource = resource  # pyright: ignore[reportPrivateUsage]
        return found

    def has(self, trace: ConvertedTrace) -> bool:
        """Return whether all of a trace's spans are stored."""
        there = {span.span_id for span in self.read(trace.trace_id)}
        return there.issuperset(span.span_id for span in trace.spans)

    def save_assessments(self, assessments: Sequence[Assessment]) -> dict[str, Exception]:
        """Write assessments that bring their own ids; see `AssessmentWriter.save`."""
        return self._assessments.save(assessments)

    def _placed(self, traces: Sequence[ConvertedTrace]) -> list[PlacedTrace]:
        with self._mlflow.asking():
            return [(self.experiments.place(trace), trace) for trace in traces]

    def _insert_new(self, traces: Sequence[PlacedTrace]) -> list[PlacedTrace]:
        """Insert new traces in bulk where that was tested; return those that are left for MLflow's own method.

        Those are known traces, which another collector may have stored a moment ago, and those that the database
        refuses.
        """
        left: set[str] = set()

        def insert(some: Sequence[PlacedTrace]) -> None:
            store = self._store
            if not has_tested_tables(store):
                left.update(trace.trace_id for _, trace in some)
                return
            from qualitrace_collector.mlflow_store.bulk_insert import insert_rows
            from qualitrace_collector.mlflow_store.table_rows import rows_of

            left.update(insert_rows(store, rows_of(some)))

        left.update(trace.trace_id for (_, trace), _ in write_in_halves(self._mlflow, insert, traces))
        return [placed for placed in traces if placed[1].trace_id in left]

    def _log_spans(self, experiment_id: str, traces: Sequence[ConvertedTrace]) -> None:
        self._store.log_spans(experiment_id, [span for trace in traces for span in trace.spans])

    def _link_prompts(self, traces: Sequence[ConvertedTrace]) -> None:
        """Let MLflow's search find traces by their prompts; the tag that its pages show is stored with the spans."""
        for trace in traces:
            if prompts := searched_prompts(trace.stored):
                linked: Any = prompts  # of MLflow's PromptVersion it reads name and version alone
                try:
                    self._store.link_prompts_to_trace(trace.trace_id, linked)
                except Exception as error:  # an older server cannot, and no trace waits for it
                    _log.debug("trace %s is not linked to its prompts: %s", trace.trace_id, reason(error))

    def _is_there(self, trace: ConvertedTrace, tried: str) -> bool:
        """Return whether a refused trace is stored after all.

        It may be in the experiment where another service began it, and then the spans are stored there. Or MLflow had
        it already, and the refusal came from elsewhere.
        """
        try:
            existing = self._store.get_trace_info(trace.trace_id).experiment_id
            if existing is not None and existing != tried:
                self._store.log_spans(existing, list(trace.spans))
                return True
            return not trace.renewed and self.has(trace)
        except Exception as error:
            self._mlflow.raise_if_unavailable(error)
            return False
