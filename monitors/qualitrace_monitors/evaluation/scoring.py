"""The judges of production as scorers of `mlflow.genai.evaluate`."""

from collections.abc import Sequence
from typing import Any

from mlflow.entities import AssessmentError, Feedback, Trace
from mlflow.genai.scorers import Scorer
from pydantic import PrivateAttr

from qualitrace_collector.convert.sample import build_sample
from qualitrace_monitors.assess import feedback_of, source_of
from qualitrace_monitors.evaluation.reference import EXPECTED
from qualitrace_monitors.judges import Judge
from qualitrace_monitors.offline import Result, judge_sample

TARGET = "expected_response"
"""MLflow's name of the expectation that holds an expected answer."""

Results = dict[tuple[str, str], Result]
"""What came of each judgement, by trace id and judge."""


class JudgeScorer(Scorer):
    """Lets a judge score what the collector would have made of the trace; keeps each result, with its reason."""

    _judge: Judge = PrivateAttr()
    _results: Results = PrivateAttr()

    def __init__(self, judge: Judge, results: Results) -> None:
        super().__init__(name=judge.name)
        self._judge, self._results = judge, results

    def __call__(  # type: ignore[override]  # MLflow hands over what a scorer names, and takes None for no value
        self, *, trace: Trace, expectations: dict[str, Any] | None
    ) -> Feedback | None:
        """Judge a trace; None where the judge does not apply."""
        sample = build_sample(trace.data.spans, service="evaluation")
        if expectations and (expected := expectations.get(TARGET)) is not None:
            sample.metadata[EXPECTED] = str(expected)
        result = judge_sample(self._judge, sample)
        self._results[trace.info.trace_id, self._judge.name] = result
        return _feedback(self._judge, result)


def scorers_of(judges: Sequence[Judge], results: Results) -> list[Scorer]:
    """Make a scorer of each judge; they write into `results`."""
    return [JudgeScorer(judge, results) for judge in judges]


def _feedback(judge: Judge, result: Result) -> Feedback | None:
    if result.status == "failed":
        error = AssessmentError(error_code="JUDGE_FAILED", error_message=result.error)
        return Feedback(name=judge.name, source=source_of(judge), error=error)
    return None if result.score is None else feedback_of(judge, result.score)
