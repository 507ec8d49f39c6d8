"""The LLM judge: asks a model for a verdict and turns it into a `Score`."""

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.contract import JudgeError, Label, Score, Tier, Usage
from qualitrace_monitors.judges.llm import prompt
from qualitrace_monitors.judges.llm.bodies import Reply
from qualitrace_monitors.judges.llm.provider import Provider, RefusedParameter
from qualitrace_monitors.judges.llm.verdict import Verdict, read_verdict
from qualitrace_monitors.judges.settings import JudgeConfig
from qualitrace_monitors.judges.versions import folder_digest, short_hash

QUOTE = 160
"""Characters of the model's evidence that a rationale shows."""


class LlmJudge:
    """Scores by asking a model. Thread-safe.

    A parameter that the provider refuses (`response_format` on simple servers, `temperature` on reasoning models) is
    left out from then on; a score's details tell the effective temperature.
    """

    tier: Tier = "llm"

    def __init__(self, config: JudgeConfig, provider: Provider) -> None:
        self.name = config.name
        self.source_id = config.model or ""
        self._metric = config.kind
        self._instructions = config.criterion
        self._threshold = config.threshold
        self.pass_mark = 0.5 if config.threshold is None else config.threshold
        self._temperature = config.temperature
        self._provider = provider
        self._refused: frozenset[str] = frozenset()
        self.version = short_hash(
            config.kind,
            config.criterion,
            config.model,
            config.base_url,
            config.temperature,
            config.threshold,
            folder_digest(__file__),
        )

    def score(self, sample: Sample) -> Score:
        """Judge one sample.

        Raises:
            NotApplicable: the sample lacks a text that the judge needs.
            TransientJudgeError: the provider is busy or away.
            JudgeError: the provider refuses, or its answer is no verdict.
        """
        messages, truncated = prompt.render(self._metric, self._instructions, sample)
        reply, temperature = self._ask(messages)
        try:
            verdict = read_verdict(reply.text, _judged(sample))
        except JudgeError as error:
            message = f"{error}; {reply.cut}" if reply.cut else str(error)
            raise JudgeError(message, Usage(reply.input_tokens, reply.output_tokens, reply.cost_usd)) from None
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
            details=tuple(details),
        )

    def _ask(self, messages: list[dict[str, str]]) -> tuple[Reply, float | None]:
        """Ask until no parameter is refused any more: the reply and the temperature that was sent."""
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
        """Follow the verdict, or the threshold where one is set; a verdict that its own score contradicts is unsure."""
        if verdict.verdict == "unsure":
            return "unsure"
        if self._threshold is not None:
            return "pass" if verdict.score >= self._threshold else "fail"
        contradicts = verdict.score < 0.5 if verdict.verdict == "pass" else verdict.score > 0.5
        return "unsure" if contradicts else verdict.verdict


def _judged(sample: Sample) -> list[str]:
    return [sample.inputs, sample.outputs, *sample.passages, *(turn.content for turn in sample.conversation)]


def _rationale(verdict: Verdict) -> str:
    evidence = " ".join(verdict.evidence.split())
    if len(evidence) > QUOTE:
        evidence = evidence[: QUOTE - 1] + "…"
    reason = " ".join(verdict.reason.split())[:500]
    return f"{reason} (“{evidence}”)" if evidence else reason
