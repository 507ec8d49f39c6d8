"""A judge whose verdicts are decided by thresholds that `qualitrace calibrate` fitted."""

from dataclasses import replace

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.contract import Judge, Label, Score, Tier
from qualitrace_monitors.judges.settings import Thresholds
from qualitrace_monitors.judges.versions import short_hash


class CalibratedJudge:
    """Gives the value of another judge; passes from one threshold on, fails up to the other, is unsure between."""

    def __init__(self, judge: Judge, thresholds: Thresholds) -> None:
        self.name = judge.name
        self.tier: Tier = judge.tier
        self.source_id = judge.source_id
        self.version = short_hash(judge.version, thresholds.passing, thresholds.failing)
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
