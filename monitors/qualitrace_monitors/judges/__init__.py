"""Judges: from a `Sample` to a `Score`, by local rules, a language model or an MLflow scorer."""

from collections.abc import Sequence
from dataclasses import replace

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.builtin import BUILTIN_METRICS
from qualitrace_monitors.judges.cascade import JudgeStage, cascade_stages
from qualitrace_monitors.judges.contract import (
    Judge,
    JudgeError,
    Label,
    NotApplicable,
    Score,
    Tier,
    TransientJudgeError,
    Usage,
    short_hash,
)
from qualitrace_monitors.judges.llm import LlmJudge
from qualitrace_monitors.judges.local import LocalJudge
from qualitrace_monitors.judges.scorers import ScorerJudge
from qualitrace_monitors.judges.settings import JudgeConfig, Thresholds

__all__ = [
    "Judge",
    "JudgeError",
    "JudgeStage",
    "Label",
    "NotApplicable",
    "Score",
    "Tier",
    "TransientJudgeError",
    "Usage",
    "build_judges",
    "build_stages",
]


def build_judges(configs: Sequence[JudgeConfig]) -> list[Judge]:
    """Make a judge of each configuration: the local one of its metric or, given a model, a language model's.

    Neither MLflow nor the network is used before an LLM judge's first score.
    """
    return [_judge(config) for config in configs]


def build_stages(configs: Sequence[JudgeConfig]) -> list[JudgeStage]:
    """Make the judges of the configurations, each with its queue; a cascade has two."""
    stages: list[JudgeStage] = []
    for config in configs:
        stages += cascade_stages(config, _judge(config), _local_judge(config) if config.cascade else None)
    return stages


def _judge(config: JudgeConfig) -> Judge:
    if config.scorer is not None:
        judge = ScorerJudge(config)
    elif config.model is not None:
        judge = LlmJudge(config)
    else:
        judge = _local_judge(config)
    return judge if config.thresholds is None else CalibratedJudge(judge, config.thresholds)


def _local_judge(config: JudgeConfig) -> LocalJudge:
    return LocalJudge(config.name, BUILTIN_METRICS[config.kind], config.threshold)


class CalibratedJudge:
    """Labels the values of another judge by thresholds that `qualitrace calibrate` fitted.

    They overrule the other judge's own doubt as well: they were fitted to its values, not to its labels.
    """

    def __init__(self, judge: Judge, thresholds: Thresholds) -> None:
        self.name = judge.name
        self.tier: Tier = judge.tier
        self.source_id = judge.source_id
        self.version = f"{judge.version}-{short_hash(thresholds.passing, thresholds.failing)}"
        self.pass_mark = 1.0 if thresholds.passing is None else thresholds.passing
        self._judge = judge
        self._thresholds = thresholds

    def score(self, sample: Sample) -> Score:
        """Judge one sample.

        Raises:
            NotApplicable, TransientJudgeError, JudgeError: as the other judge does.
        """
        score = self._judge.score(sample)
        return replace(score, label=self._label(round(score.value, 6)))  # as rounded as the values that were fitted to

    def _label(self, value: float) -> Label:
        thresholds = self._thresholds
        if thresholds.passing is not None and value >= thresholds.passing:
            return "pass"
        return "fail" if thresholds.failing is not None and value <= thresholds.failing else "unsure"
