"""Shows the headlines of traces in MLflow's list, where no bulk insert has written them with the trace."""

import logging
from collections.abc import Sequence

from mlflow.entities import TraceState
from mlflow.tracing.constant import TraceMetadataKey

from qualitrace_collector.convert.mlflow_span import AnySpan
from qualitrace_collector.mlflow_store.batches import write_in_halves
from qualitrace_collector.mlflow_store.connection import Connection
from qualitrace_collector.mlflow_store.headline import Headline, ended_trace, headline_of
from qualitrace_collector.mlflow_store.tested_tables import has_tested_tables
from qualitrace_collector.mlflow_store.unavailable import StoreUnavailable, reason

_log = logging.getLogger(__name__)


class HeadlineWriter:
    """Writes headlines."""

    def __init__(self, mlflow: Connection) -> None:
        self._mlflow = mlflow
        self._refusal_reported = False
        # What a call has written when it fails in the middle. A server takes these one by one: if each try started
        # over, a bad line would let no large batch through.
        self._written: set[Headline] = set()

    def save(self, traces: Sequence[Sequence[AnySpan]], *, late: bool) -> dict[str, Exception]:
        """Show traces; return the errors of those to which MLflow does not answer."""
        unanswered: dict[str, Exception] = {}
        for trace, error in write_in_halves(self._mlflow, lambda some: self._write(some, late=late), traces):
            if isinstance(error, StoreUnavailable):
                unanswered[trace[0].trace_id] = error
                continue
            # Somebody deleted the trace, or its experiment.
            level = logging.DEBUG if self._refusal_reported else logging.WARNING
            self._refusal_reported = True
            text = "MLflow does not take the state and previews of trace %s (%s); further ones are not reported"
            _log.log(level, text, trace[0].trace_id, reason(error))
        return unanswered

    def _write(self, traces: Sequence[Sequence[AnySpan]], *, late: bool) -> None:
        headlines, store = [headline_of(spans) for spans in traces], self._mlflow.store
        if has_tested_tables(store):
            from qualitrace_collector.mlflow_store.bulk_insert import update_headlines

            update_headlines(store, headlines)
            return
        for spans, headline in zip(traces, headlines, strict=True):
            # If another collector has stored a child before, a root that is new here does not replace its state: to
            # find out would cost a request for each new trace.
            if (headline.of_child or late) and headline not in self._written:
                info = store.get_trace_info(headline.trace_id)
                # A trace that was ended so keeps its sums whatever comes: it is ended again for late spans.
                ended = late and TraceMetadataKey.TRACE_INFO_FINALIZED in info.trace_metadata
                if ended or (headline.of_child and info.state == TraceState.IN_PROGRESS):
                    store.start_trace(ended_trace(headline, info, spans))
                self._written.add(headline)
        self._written.difference_update(headlines)
