"""Judges: from a `Sample` to a `Score`, by local rules or by a language model."""

from collections.abc import Sequence

from qualitrace_monitors.judges.calibrated import CalibratedJudge
from qualitrace_monitors.judges.cascade import Stage, stages_of
from qualitrace_monitors.judges.contract import (
    Judge,
    JudgeError,
    Label,
    NotApplicable,
    Score,
    Tier,
    TransientJudgeError,
    Usage,
)
from qualitrace_monitors.judges.llm import llm_judge
from qualitrace_monitors.judges.local import local_judge
from qualitrace_monitors.judges.scorers import ScorerJudge
from qualitrace_monitors.judges.settings import JudgeConfig

__all__ = [
    "Judge",
    "JudgeError",
    "Label",
    "NotApplicable",
    "Score",
    "Stage",
    "Tier",
    "TransientJudgeError",
    "Usage",
    "build_judges",
    "build_stages",
]


def build_judges(configs: Sequence[JudgeConfig]) -> list[Judge]:
    """Make a judge of each configuration: the local one of its metric, or, given a model, a language model's.

    Neither MLflow nor the network is touched before an LLM judge's first score.
    """
    return [_judge(config) for config in configs]


def build_stages(configs: Sequence[JudgeConfig]) -> list[Stage]:
    """Make the judges of the configurations and place them at their queues; a cascade has two."""
    locals_ = [None if config.cascade is None else local_judge(config) for config in configs]
    return stages_of(configs, build_judges(configs), locals_)


def _judge(config: JudgeConfig) -> Judge:
    judge = _plain_judge(config)
    return judge if config.thresholds is None else CalibratedJudge(judge, config.thresholds)


def _plain_judge(config: JudgeConfig) -> Judge:
    if config.scorer is not None:
        return ScorerJudge(config)
    return local_judge(config) if config.model is None else llm_judge(config)
