"""Judges by rules alone: one file a metric, over shared text helpers; no network, no key."""

from qualitrace_monitors.judges.builtin.grounding import FAITHFULNESS, GROUNDEDNESS
from qualitrace_monitors.judges.builtin.pii import PII
from qualitrace_monitors.judges.builtin.prompt_injection import PROMPT_INJECTION
from qualitrace_monitors.judges.builtin.refusal import REFUSAL
from qualitrace_monitors.judges.builtin.relevance import RELEVANCE
from qualitrace_monitors.judges.builtin.retrieval import RETRIEVAL_RELEVANCE
from qualitrace_monitors.judges.builtin.safety import SAFETY
from qualitrace_monitors.judges.builtin.toxicity import TOXICITY
from qualitrace_monitors.judges.local.rules import LocalJudge
from qualitrace_monitors.judges.settings import JudgeConfig

__all__ = ["LocalJudge", "local_judge"]

_RULES = {
    rules.metric: rules
    for rules in (
        RELEVANCE,
        RETRIEVAL_RELEVANCE,
        FAITHFULNESS,
        GROUNDEDNESS,
        SAFETY,
        TOXICITY,
        REFUSAL,
        PII,
        PROMPT_INJECTION,
    )
}


def local_judge(config: JudgeConfig) -> LocalJudge:
    """Make the local judge of the configured metric."""
    return LocalJudge(config, _RULES[config.kind])
