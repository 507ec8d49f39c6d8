"""The cascade: the local judge first, then the model for what that is unsure of and for a random share of the rest.

Each answer is picked for the model with a known probability, so the model's scores are a sample of their own: with
inclusion probabilities (that of the trace times that of the pick) its estimate is unbiased, and the two tiers' scores
stand side by side, never mixed.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from qualitrace_monitors.judges.contract import Judge
from qualitrace_monitors.judges.settings import JudgeConfig


def llm_queue(name: str) -> str:
    """Return the name under which the second stage of the judge `name` queues; no judge can be called so."""
    return f"{name}/llm"


@dataclass(frozen=True, slots=True)
class Escalation:
    """Which verdicts of a local judge go on to the model's queue.

    Attributes:
        queue: the model's queue.
        audit_rate: share of the sure verdicts that goes on, 0 to 1; all that is unsure does.
    """

    queue: str
    audit_rate: float

    def probability(self, *, unsure: bool) -> float:
        """Return the probability with which a verdict goes on."""
        return 1.0 if unsure else self.audit_rate

    def picks(self, trace_id: str, probability: float) -> bool:
        """Decide for a trace by a hash: a repetition decides alike, and apart from the trace's own sampling."""
        digest = hashlib.sha256(f"{self.queue}\0{trace_id}".encode()).digest()
        return int.from_bytes(digest[:7]) < probability * (1 << 56)


@dataclass(frozen=True, slots=True)
class Stage:
    """A judge at its queue.

    Attributes:
        queue: the name under which its samples wait.
        lane: stages of one lane share calls at once; those of a provider do, and `local` ones.
        then: where some of its verdicts go on to.
    """

    queue: str
    judge: Judge
    lane: str
    then: Escalation | None = None


def stages_of(configs: Sequence[JudgeConfig], judges: Sequence[Judge], locals_: Sequence[Judge | None]) -> list[Stage]:
    """Place the judges of the configurations at their queues.

    Args:
        judges: the judge of each configuration.
        locals_: for each cascade its local judge, else None.
    """
    stages: list[Stage] = []
    for config, judge, local in zip(configs, judges, locals_, strict=True):
        lane = _lane(config)
        if config.cascade is None or local is None:
            stages.append(Stage(config.name, judge, lane))
            continue
        then = Escalation(llm_queue(config.name), config.cascade.audit_rate)
        stages += [Stage(config.name, local, "local", then), Stage(then.queue, judge, lane)]
    return stages


def _lane(config: JudgeConfig) -> str:
    if config.is_local:
        return "local"
    provider = (config.model or config.scorer or "").partition(":/")[0]
    return f"{provider} {config.base_url or ''}".strip()
