"""Writes people's feedback to MLflow as human assessments, and sends the traces that they dislike to the judges."""

import logging
import time
from collections.abc import Callable, Sequence

from mlflow.entities import AssessmentSource, AssessmentSourceType, Feedback
from prometheus_client import CollectorRegistry

from qualitrace_collector import metrics
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore
from qualitrace_collector.person_feedback import SOURCE_KEY, PersonFeedback, is_dislike
from qualitrace_collector.pipeline.sampling import Sampler
from qualitrace_collector.pipeline.settings import PipelineConfig
from qualitrace_collector.pipeline.stored_trace import StoredTrace
from qualitrace_collector.state import Database, ExpertLabels, Ledger, Opinions
from qualitrace_collector.state.waiting import WaitingFeedback

_log = logging.getLogger(__name__)

BATCH = 100
IDLE_SECONDS = 0.5
UNAVAILABLE_SECONDS = 5.0


class FeedbackDelivery:
    """Writes feedback to MLflow once its trace is stored and complete; meant for one `Loop`.

    The assessment is written first, then one transaction removes the feedback and queues its trace. A crash between
    the two repeats a write whose id MLflow knows.

    Args:
        clock: Unix seconds.
    """

    def __init__(
        self,
        config: PipelineConfig,
        database: Database,
        store: TraceStore,
        sampler: Sampler,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._max_age = config.assembly.max_age
        self._picks = "negative_feedback" in config.sampling.always
        self._database = database
        self._waiting = WaitingFeedback(database)
        self._ledger = Ledger(database)
        self._store = store
        self._sampler = sampler
        self._clock = clock
        self._outcomes = metrics.FEEDBACK.counter(registry)

    def step(self) -> float:
        """Write what can be written now; return the seconds to wait before the next step."""
        now = self._clock()
        batch = self._waiting.due(now, BATCH)
        if not batch:
            return IDLE_SECONDS
        open_traces = self._ledger.open_traces(feedback.mlflow_trace_id for feedback, _ in batch)
        try:
            ready = [feedback for feedback, _ in batch if feedback.mlflow_trace_id not in open_traces]
            refused = self._store.save_assessments([_assessment(feedback) for feedback in ready])
            stored = [feedback for feedback in ready if feedback.assessment_id not in refused]
            picked = self._picked(stored)
        except StoreUnavailable as error:
            _log.warning("%s (%s); feedback waits", error.problem, error)
            return UNAVAILABLE_SECONDS
        done = {feedback.assessment_id for feedback in stored}
        waiting = [item for item in batch if item[0].assessment_id not in done]
        expired = [feedback for feedback, received_at in waiting if now - received_at >= self._max_age]
        self._record(stored, picked, [feedback for feedback, _ in waiting], expired)
        return 0.0

    def _picked(self, stored: Sequence[PersonFeedback]) -> list[StoredTrace]:
        """Read the traces that are to be judged after the fact."""
        disliked = {item.mlflow_trace_id for item in stored if self._picks and is_dislike(item.value)}
        traces: list[StoredTrace] = []
        for trace_id in sorted(disliked):
            spans = self._store.read(trace_id)
            row = self._ledger.known_traces([trace_id]).get(trace_id)
            # Without its row nobody knows any more how the trace was sampled. A tracestate is not needed: the
            # probability of a trace that is picked after the fact is 0.
            if spans and row is not None:
                trace = StoredTrace(trace_id=trace_id, service=row.service, spans=spans, known=True, read=spans)
                traces.append(trace)
        return traces

    def _record(
        self,
        stored: Sequence[PersonFeedback],
        picked: Sequence[StoredTrace],
        waiting: Sequence[PersonFeedback],
        expired: Sequence[PersonFeedback],
    ) -> None:
        now = self._clock()
        with self._database.transaction() as connection:
            for trace in picked:
                self._sampler.queue_after_dislike(connection, trace, now)
            for feedback in waiting:
                WaitingFeedback.postpone(connection, feedback, now)
            for feedback in stored:
                ExpertLabels.put(connection, feedback, now)
                Opinions.put(connection, feedback, now)
            for feedback in (*stored, *expired):
                WaitingFeedback.remove(connection, feedback)
        for feedback in stored:
            self._outcomes.labels(feedback.source, "stored").inc()
        for feedback in expired:
            _log.warning("feedback %s is dropped: MLflow never had trace %s", feedback.id, feedback.mlflow_trace_id)
            self._outcomes.labels(feedback.source, "expired").inc()


def _assessment(feedback: PersonFeedback) -> Feedback:
    made = Feedback(
        name=feedback.name,
        value=feedback.value,
        source=AssessmentSource(AssessmentSourceType.HUMAN, feedback.user or feedback.source),
        rationale=feedback.comment,
        metadata={SOURCE_KEY: feedback.source},
        trace_id=feedback.mlflow_trace_id,
    )
    made.assessment_id = feedback.assessment_id
    return made
