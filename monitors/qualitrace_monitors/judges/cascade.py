"""The cascade: the local judge first, then the model for answers that it is unsure of and a random share of the rest.

Each answer is picked for the model with a known probability, so the model's scores are a sample of their own. With
inclusion probabilities (that of the trace times that of the pick) its estimate is unbiased. The two tiers' scores
stand side by side and are never mixed.
"""

import hashlib
from dataclasses import dataclass

from qualitrace_monitors.judges.contract import Judge
from qualitrace_monitors.judges.settings import JudgeConfig


def llm_queue(name: str) -> str:
    """Return the queue's name of the second stage of the judge `name`; no judge can have it as its own name."""
    return f"{name}/llm"


@dataclass(frozen=True, slots=True)
class Escalation:
    """Which verdicts of a local judge go on to the model's queue.

    Attributes:
        queue: the model's queue.
        audit_rate: share of the sure verdicts that go on, 0 to 1; all unsure ones do.
    """

    queue: str
    audit_rate: float

    def probability(self, *, unsure: bool) -> float:
        """Return the probability with which a verdict goes on."""
        return 1.0 if unsure else self.audit_rate

    def picks(self, trace_id: str, probability: float) -> bool:
        """Decide for a trace by a hash: the same on a repetition, and independent of the trace's own sampling."""
        # The hash stays when late spans change the trace's probability: it is picked if any of them reached the hash.
        digest = hashlib.sha256(f"{self.queue}\0{trace_id}".encode()).digest()
        return int.from_bytes(digest[:7]) < probability * (1 << 56)


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


def cascade_stages(config: JudgeConfig, judge: Judge, local: Judge | None) -> list[JudgeStage]:
    """Place a judge at its queue, behind the `local` one if it has a cascade."""
    if config.cascade is None or local is None:
        return [JudgeStage(config.name, judge, _lane(config))]
    then = Escalation(llm_queue(config.name), config.cascade.audit_rate)
    return [JudgeStage(config.name, local, "local", then), JudgeStage(then.queue, judge, _lane(config))]


def _lane(config: JudgeConfig) -> str:
    if config.is_local:
        return "local"
    provider = (config.model or config.scorer or "").partition(":/")[0]
    return f"{provider} {config.base_url or ''}".strip()
