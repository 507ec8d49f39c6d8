"""The LLM judge: asks a model for a verdict (prompt, call, reply) and turns it into a `Score`."""

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.builtin import BUILTIN_METRICS
from qualitrace_monitors.judges.contract import JudgeError, Label, Score, Tier, Usage, short_hash
from qualitrace_monitors.judges.llm import prompt
from qualitrace_monitors.judges.llm.bodies import Reply
from qualitrace_monitors.judges.llm.fences import new_key
from qualitrace_monitors.judges.llm.provider import Provider, RefusedParameter
from qualitrace_monitors.judges.llm.verdict import Verdict, read_verdict
from qualitrace_monitors.judges.settings import JudgeConfig

QUOTE = 160  # characters of the model's evidence that a rationale shows


class LlmJudge:
    """Scores by asking the configured model. Thread-safe.

    A parameter that the provider refuses (`response_format` on simple servers, `temperature` on reasoning models) is
    left out from then on; a score's details name the effective temperature.

    Args:
        fence_key: the secret of the fences around judged texts; by default a new one, for runs without a data folder.
    """

    tier: Tier = "llm"

    def __init__(self, config: JudgeConfig, fence_key: bytes | None = None) -> None:
        self.name = config.name
        self.source_id = self.model = config.model or ""
        self.pass_mark = 0.5 if config.threshold is None else config.threshold
        self._fence_key = fence_key or new_key()
        self._threshold = config.threshold
        self._temperature = config.temperature
        self._criterion = config.criterion or BUILTIN_METRICS[config.kind]
        self._refused: frozenset[str] = frozenset()
        base_url = str(config.base_url) if config.base_url else None
        api_key = config.api_key.get_secret_value() if config.api_key else None
        self._provider = Provider(config.model or "", base_url, api_key, config.timeout)
        numbers = f"{prompt.VERSION}"
        if not isinstance(self._criterion, str):
            numbers += f".{self._criterion.criterion_version}"
        settings = (config.model, config.base_url, config.temperature, config.threshold)
        self.version = f"{numbers}-{short_hash(config.kind, config.criterion, *settings)}"

    def score(self, sample: Sample) -> Score:
        """Judge one sample.

        Raises:
            NotApplicable: the sample lacks a text that the judge needs.
            TransientJudgeError: the provider is busy or unreachable.
            JudgeError: the provider refuses, or its answer is not a verdict.
        """
        messages, truncated, judged = prompt.render(self._criterion, sample, self._fence_key)
        reply, temperature = self._ask(messages)
        said = reply.text.rpartition(messages[-1]["content"])[2]  # servers that complete a text may repeat the prompt
        try:  # a reply without a verdict is paid for as well
            verdict = read_verdict(said, judged)
        except JudgeError as error:
            message = f"{error}; {reply.cut}" if reply.cut else str(error)
            usage = Usage(reply.input_tokens, reply.output_tokens, reply.cost_usd, reply.input_cost_usd)
            raise JudgeError(message, usage) from None
        details = [("temperature", "provider's default" if temperature is None else str(temperature))]
        if truncated:
            details.append(("truncated", ", ".join(truncated)))
        return Score(
            value=verdict.score,
            label=self._label(verdict),
            rationale=_rationale(verdict),
            input_tokens=reply.input_tokens,
            output_tokens=reply.output_tokens,
            cost_usd=reply.cost_usd,
            input_cost_usd=reply.input_cost_usd,
            details=tuple(details),
        )

    def _ask(self, messages: list[dict[str, str]]) -> tuple[Reply, float | None]:
        """Ask until no parameter is refused any more; return the reply and the temperature that was sent."""
        while True:
            refused = self._refused
            schema = None if "response_format" in refused else Verdict
            temperature = None if "temperature" in refused else self._temperature
            try:
                return self._provider.chat(messages, schema, temperature), temperature
            except RefusedParameter as error:
                if error.parameter in refused:
                    raise
                self._refused = refused | {error.parameter}

    def _label(self, verdict: Verdict) -> Label:
        """Follow the threshold if there is one, else the verdict; one that its own score contradicts is unsure."""
        if verdict.verdict == "unsure":
            return "unsure"
        if self._threshold is not None:
            return "pass" if verdict.score >= self._threshold else "fail"
        # The model mistook either the scale or the verdict, and nobody knows which.
        contradicts = verdict.score < 0.5 if verdict.verdict == "pass" else verdict.score > 0.5
        return "unsure" if contradicts else verdict.verdict


def _rationale(verdict: Verdict) -> str:
    evidence = " ".join(verdict.evidence.split())
    if len(evidence) > QUOTE:
        evidence = evidence[: QUOTE - 1] + "…"
    reason = " ".join(verdict.reason.split())[:500]
    return f"{reason} (“{evidence}”)" if evidence else reason
