"""Judges by rules alone: one file a metric, over shared text helpers; no network, no key."""

from qualitrace_collector.config.quality import JudgeConfig
from qualitrace_monitors.judges.local.grounding import FAITHFULNESS, GROUNDEDNESS
from qualitrace_monitors.judges.local.injection import PROMPT_INJECTION
from qualitrace_monitors.judges.local.pii import PII
from qualitrace_monitors.judges.local.refusal import REFUSAL
from qualitrace_monitors.judges.local.relevance import RELEVANCE
from qualitrace_monitors.judges.local.retrieval import RETRIEVAL_RELEVANCE
from qualitrace_monitors.judges.local.rules import LocalJudge
from qualitrace_monitors.judges.local.safety import SAFETY
from qualitrace_monitors.judges.local.toxicity import TOXICITY

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
