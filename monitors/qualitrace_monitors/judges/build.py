"""From the configuration to judges: local, LLM or MLflow scorer, calibrated or not, and the cascade of two.

A cascade asks the local judge first, then the model for answers that it is unsure of and a random share of the rest.
Each answer is picked for the model with a known probability, so the model's scores are a sample of their own. With
inclusion probabilities (that of the trace times that of the pick) its estimate is unbiased. The two tiers' scores
stand side by side; what rests on both is called `joined`.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.builtin import BUILTIN_METRICS
from qualitrace_monitors.judges.contract import Judge, Label, Score, Tier, short_hash
from qualitrace_monitors.judges.llm import LlmJudge
from qualitrace_monitors.judges.local import LocalJudge
from qualitrace_monitors.judges.scorers import ScorerJudge
from qualitrace_monitors.judges.settings import JudgeConfig, Thresholds

_log = logging.getLogger(__name__)


def llm_queue(name: str) -> str:
    """Return the queue's name of the second stage of the judge `name`; no judge can have it as its own name."""
    return f"{name}/llm"


@dataclass(frozen=True, slots=True)
class Escalation:
    """Which verdicts of a local judge go on to the model's queue.

    Attributes:
        queue: the model's queue.
        audit_rate: share of the sure verdicts that go on, 0 to 1; all unsure ones do.
        version: of the model's judge.
    """

    queue: str
    audit_rate: float
    version: str

    def probability(self, *, unsure: bool) -> float:
        """Return the probability with which a verdict goes on."""
        return 1.0 if unsure else self.audit_rate

    def weight(self, probability: float) -> float:
        """Return the weight of a verdict that went on with this probability, relative to the least likely ones."""
        return self.audit_rate / probability if 0 < self.audit_rate < probability else 1.0

    def picks(self, trace_id: str, probability: float) -> bool:
        """Decide for a trace by a hash: the same on a repetition, and independent of the trace's own sampling."""
        # The hash stays when late spans change the trace's probability: it is picked if any of them reached the hash.
        digest = hashlib.sha256(f"{self.queue}\0{trace_id}".encode()).digest()
        return int.from_bytes(digest[:7]) < probability * (1 << 56)

    def dump(self) -> str:
        """Return it as text, without its queue."""
        return json.dumps([self.audit_rate, self.version])

    @classmethod
    def load(cls, judge: str, text: str) -> Self:
        """Return what `dump` wrote of the cascade of a judge."""
        return cls(llm_queue(judge), *json.loads(text))


@dataclass(frozen=True, slots=True)
class JudgeStage:
    """A judge and its queue.

    Attributes:
        queue: the name under which its samples wait.
        judge: who scores them.
        lane: stages of one lane share their calls at once: those of a provider, and `local` ones.
        then: where some of its verdicts go on to.
    """

    queue: str
    judge: Judge
    lane: str
    then: Escalation | None = None


def build_judge(config: JudgeConfig, fence_key: bytes | None = None) -> Judge:
    """Make a configuration's judge; of a cascade, the model's.

    Neither MLflow nor the network is used before its first score.

    Args:
        fence_key: see `LlmJudge`.
    """
    if config.scorer is not None:
        judge = ScorerJudge(config)
    elif config.model is not None:
        judge = LlmJudge(config, fence_key)
    else:
        judge = _local_judge(config)
    return judge if config.thresholds is None else CalibratedJudge(judge, config.thresholds)


def build_stages(configs: Iterable[JudgeConfig], fence_key: bytes | None = None) -> Iterator[JudgeStage]:
    """Make the judges of the configurations, each with its queue; a cascade has two.

    Args:
        fence_key: see `build_judge`.
    """
    for config in configs:
        queue, judge = config.name, build_judge(config, fence_key)
        if config.cascade is not None:
            queue = llm_queue(config.name)
            then = Escalation(queue, config.cascade.audit_rate, judge.version)
            yield JudgeStage(config.name, _local_judge(config), "local", then)
        yield JudgeStage(queue, judge, _lane(config))


def _local_judge(config: JudgeConfig) -> LocalJudge:
    return LocalJudge(config.name, BUILTIN_METRICS[config.kind], config.threshold)


def _lane(config: JudgeConfig) -> str:
    if config.is_local:
        return "local"
    provider = (config.model or config.scorer or "").partition(":/")[0]
    return f"{provider} {config.base_url or ''}".strip()


class CalibratedJudge:
    """Labels the values of another judge by thresholds that `qualitrace calibrate` fitted.

    They overrule the other judge's own doubt as well: they were fitted to its values, not to its labels. If they were
    fitted to another version, its doubts may be new, and stand.
    """

    def __init__(self, judge: Judge, thresholds: Thresholds) -> None:
        self.name = judge.name
        self.tier: Tier = judge.tier
        self.source_id, self.model = judge.source_id, judge.model
        fitted_to = thresholds.version
        # A calibrated judge's version goes on from that of the judge whose values it labels.
        self._keeps_doubts = fitted_to not in ("", judge.version) and not fitted_to.startswith(f"{judge.version}-")
        labels = ("keeps doubts",) * self._keeps_doubts
        self.version = f"{judge.version}-{short_hash(thresholds.passing, thresholds.failing, *labels)}"
        if self._keeps_doubts:
            _log.warning(
                "judges: the thresholds of %s were fitted to version %s, and it is %s now: what it is unsure of stays "
                "unsure; calibrate it again",
                judge.name,
                fitted_to,
                judge.version,
            )
        self.pass_mark = 1.0 if thresholds.passing is None else thresholds.passing
        self._judge = judge
        self._thresholds = thresholds

    def score(self, sample: Sample) -> Score:
        """Judge one sample; raises what the other judge raises."""
        score = self._judge.score(sample)
        if self._keeps_doubts and score.label == "unsure":
            return score
        return replace(score, label=self._label(round(score.value, 6)))  # as rounded as the values that were fitted to

    def _label(self, value: float) -> Label:
        thresholds = self._thresholds
        if thresholds.passing is not None and value >= thresholds.passing:
            return "pass"
        return "fail" if thresholds.failing is not None and value <= thresholds.failing else "unsure"
