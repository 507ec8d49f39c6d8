"""A score as an assessment on its MLflow trace: source, rationale, judge version, inclusion probability."""

import hashlib

from mlflow.entities import AssessmentSource, AssessmentSourceType, Feedback

from qualitrace_collector.state import JudgeTask
from qualitrace_monitors.judges import Judge, Score

SOURCE_TYPES = {"local": AssessmentSourceType.CODE, "llm": AssessmentSourceType.LLM_JUDGE}
ID_PREFIX = "qt-"


def assessment_id(task: JudgeTask, judge: Judge) -> str:
    """Return the id of the assessment of this content by this version of the judge, 43 characters.

    MLflow keeps ids of at most 50; the same judgement, made again after a crash, has the same id.
    """
    parts = "\0".join((task.trace_id, judge.name, judge.version, task.sample.content_hash))
    return ID_PREFIX + hashlib.sha256(parts.encode()).hexdigest()[:40]


def assessment(task: JudgeTask, judge: Judge, score: Score, overrides: str | None) -> Feedback:
    """Make the MLflow feedback of a score; `overrides` is the id of an earlier judgement of the same trace."""
    metadata = {
        "qualitrace.label": score.label,
        "qualitrace.tier": judge.tier,
        "qualitrace.judge_version": judge.version,
        "qualitrace.inclusion_probability": f"{task.inclusion_probability:g}",
        "qualitrace.passages_source": task.sample.passages_source,
        **{f"qualitrace.{name}": text for name, text in score.details},
    }
    feedback = Feedback(
        name=judge.name,
        value=round(score.value, 6),
        source=AssessmentSource(source_type=SOURCE_TYPES[judge.tier], source_id=judge.source_id),
        rationale=score.rationale,
        metadata=metadata,
        trace_id=task.trace_id,
        overrides=overrides,
    )
    feedback.assessment_id = assessment_id(task, judge)
    return feedback
