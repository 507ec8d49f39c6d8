"""The judge contract: a judge maps a `Sample` to a `Score`, or says why it cannot.

JudgeError                 the judge failed: counted as failed, never as a fail score
└── TransientJudgeError    the provider was busy or away: worth another try later

NotApplicable              the sample lacks what the judge needs; it never guesses
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from qualitrace_collector.sample import Sample

Tier = Literal["local", "llm", "scorer"]
Label = Literal["pass", "fail", "unsure"]


class Usage(NamedTuple):
    """What a model's answer cost: tokens, and US dollars where the price is known."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None


class NotApplicable(Exception):
    """The sample lacks something that the judge needs, for example passages."""


class JudgeError(Exception):
    """The judge could not come to a verdict, and would not on another try; `usage` is what it cost all the same."""

    def __init__(self, message: str, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.usage = usage or Usage()


class TransientJudgeError(JudgeError):
    """The judge could not come to a verdict now; `retry_after` is in seconds, if the provider said."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A verdict.

    Attributes:
        value: 0 to 1, where 1 is good whatever the metric.
        label: pass, fail, or unsure where the judge cannot tell.
        rationale: one or two sentences for a person; names the sentence that failed.
        input_tokens, output_tokens: what an LLM judge used, else 0.
        cost_usd: what the call cost in US dollars, if known.
        details: further text for the assessment's metadata (for example the effective temperature).
    """

    value: float
    label: Label
    rationale: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    details: tuple[tuple[str, str], ...] = ()

    @property
    def usage(self) -> Usage:
        """What the verdict cost."""
        return Usage(self.input_tokens, self.output_tokens, self.cost_usd)


class Judge(Protocol):
    """Scores samples. Thread-safe; `version` changes whenever the same sample could score otherwise."""

    @property
    def name(self) -> str:
        """The configured name, unique; the assessment's name in MLflow."""
        ...

    @property
    def tier(self) -> Tier:
        """Local judges need no network, LLM judges cost money, and what an MLflow scorer does is its own affair."""
        ...

    @property
    def source_id(self) -> str:
        """Who judged: `qualitrace/groundedness` or the model URI."""
        ...

    @property
    def version(self) -> str:
        """Short identifier of the judge's rules, prompt, model and parameters."""
        ...

    @property
    def pass_mark(self) -> float:
        """The least value that may pass."""
        ...

    def score(self, sample: Sample) -> Score:
        """Judge one sample.

        Raises:
            NotApplicable: the sample lacks what the judge needs.
            TransientJudgeError: try again later.
            JudgeError: no verdict can be had.
        """
        ...
