"""Judges that ask a language model: prompt, call and verdict."""

from qualitrace_monitors.judges.llm.judge import LlmJudge
from qualitrace_monitors.judges.llm.provider import Provider
from qualitrace_monitors.judges.settings import JudgeConfig

__all__ = ["LlmJudge", "llm_judge"]


def llm_judge(config: JudgeConfig) -> LlmJudge:
    """Make the judge that asks the configured model, by its MLflow model URI."""
    api_key = config.api_key.get_secret_value() if config.api_key else None
    base_url = str(config.base_url) if config.base_url else None
    return LlmJudge(config, Provider(config.model or "", base_url, api_key, config.timeout))
