"""Stage 2: store a converted batch in MLflow, in another process where there is one."""

from qualitrace_collector.mlflow_store.store import TraceStore
from qualitrace_collector.mlflow_store.writer_process import Writer, wait_until_written
from qualitrace_collector.pipeline.batch import Batch


class StoreStage:
    """Stores batches; with a writer, its process may begin while the batch before is being recorded."""

    def __init__(self, store: TraceStore, writer: Writer | None) -> None:
        self._store = store
        self._writer = writer

    def begin(self, batch: Batch) -> Batch:
        """Let the writer's process, if there is one, write the batch's new traces.

        Raises:
            StoreUnavailable: MLflow cannot be reached now.
        """
        if self._writer:
            batch.writing = self._writer.write([trace for trace in batch.traces if trace.stored])
        return batch

    def __call__(self, batch: Batch) -> Batch:
        """Store what the writer's process has not stored; give refused traces their error.

        Raises:
            StoreUnavailable: nothing can be stored now; the same again is harmless.
        """
        traces = batch.traces
        known = wait_until_written(batch.writing) if batch.writing else None
        if known is not None:
            # The writer leaves traces that exist alone. Traces without new spans have only what MLflow's list shows.
            traces = [trace for trace in traces if trace.trace_id in known or not trace.stored]
        refused = self._store.save(traces)
        for item in batch.items:
            if item.trace_id in refused:
                item.refuse(refused[item.trace_id])
        return batch
