"""How a score is kept: as two assessments on its MLflow trace, and as a row of the score table."""

import hashlib

from mlflow.entities import AssessmentSource, AssessmentSourceType, Feedback

from qualitrace_collector.sample import SLICES
from qualitrace_collector.state import JudgeTask
from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.judges.build import JudgeStage
from qualitrace_monitors.judges.contract import Judge, Score

SOURCE_TYPES = {
    "local": AssessmentSourceType.CODE,
    "llm": AssessmentSourceType.LLM_JUDGE,
    "scorer": AssessmentSourceType.CODE,
}
ID_PREFIX = "qt-"
VERDICT_PREFIX = "qv-"
VERDICT = ".verdict"
"""What the name of a verdict's assessment ends with; no judge's name has a dot."""


def assessment_id(task: JudgeTask, judge: Judge) -> str:
    """Return the id of the assessment of this content by this version of the judge.

    A judgement that is repeated after a crash has the same id, so its assessment is found present.
    """
    # 43 characters: MLflow keeps ids of at most 50.
    parts = "\0".join((task.trace_id, judge.name, judge.version, task.content_hash))
    return ID_PREFIX + hashlib.sha256(parts.encode()).hexdigest()[:40]


def score_row(task: JudgeTask, stage: JudgeStage, score: Score, now: float) -> ScoreRow:
    """Make the row of a score; `now` is in Unix seconds."""
    judge = stage.judge
    metadata = task.sample.metadata
    return ScoreRow(
        trace_id=task.trace_id,
        judge=judge.name,
        version=judge.version,
        tier=judge.tier,
        service=task.service,
        value=score.value,
        label=score.label,
        rationale=score.rationale,
        inclusion_probability=task.inclusion_probability,
        assessment_id=assessment_id(task, judge),
        tokens=score.usage.tokens,
        cost_usd=score.cost_usd,
        completed_at=task.completed_at,
        scored_at=now,
        weight=min(1.0, task.weight),
        least_probability=task.weight * task.inclusion_probability,
        cascade=stage.then.dump() if stage.then else "",
        session=metadata.get("session", ""),
        **{name: metadata.get(name, "") for name in SLICES},
    )


def feedback_of(judge: Judge, score: Score) -> Feedback:
    """Make MLflow's feedback of a score, without a trace."""
    return Feedback(
        name=judge.name,
        value=round(score.value, 6),
        source=source_of(judge),
        rationale=score.rationale,
        metadata={
            "qualitrace.label": score.label,
            "qualitrace.tier": judge.tier,
            "qualitrace.judge_version": judge.version,
            **{f"qualitrace.{name}": text for name, text in score.details},
        },
    )


def source_of(judge: Judge) -> AssessmentSource:
    """Return the source of a judge's assessments, as MLflow names it."""
    return AssessmentSource(source_type=SOURCE_TYPES[judge.tier], source_id=judge.source_id)


def assessment(task: JudgeTask, judge: Judge, score: Score, earlier: str | None) -> Feedback:
    """Make MLflow's feedback of a score on the task's trace.

    Args:
        earlier: id of the judge's earlier assessment of the trace, which this one overrides if it is another.
    """
    own_id = assessment_id(task, judge)
    feedback = feedback_of(judge, score)
    feedback.assessment_id, feedback.trace_id = own_id, task.trace_id
    feedback.overrides = None if earlier == own_id else earlier
    feedback.metadata = (feedback.metadata or {}) | {
        "qualitrace.inclusion_probability": f"{task.inclusion_probability:g}",
        "qualitrace.passages_source": task.sample.passages_source,
    }
    return feedback


def verdict_beside(score: Feedback) -> Feedback:
    """Make the feedback that shows the verdict of a score's: MLflow's pages draw a pass and a fail, and count them.

    The score stays a number of its own, because MLflow averages numbers alone.
    """
    metadata = score.metadata or {}
    verdict = Feedback(
        name=f"{score.name}{VERDICT}",
        value=metadata["qualitrace.label"],
        source=score.source,
        trace_id=score.trace_id,
        metadata={name: metadata[name] for name in ("qualitrace.tier", "qualitrace.judge_version")},
        overrides=_verdict_id(score.overrides) if score.overrides else None,
    )
    verdict.assessment_id = _verdict_id(str(score.assessment_id))
    return verdict


def _verdict_id(assessment_id: str) -> str:
    return VERDICT_PREFIX + assessment_id.removeprefix(ID_PREFIX)
