"""The judge contract: a judge maps a `Sample` to a `Score`, or raises the reason why it cannot.

JudgeError                 the judge failed: counted as failed, never as a fail score
└── TransientJudgeError    the provider was busy or unreachable: worth another try later

NotApplicable              the sample lacks what the judge needs; a judge never guesses
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

from qualitrace_collector.masking import masked
from qualitrace_collector.sample import Sample

Tier = Literal["local", "llm", "scorer"]
Label = Literal["pass", "fail", "unsure"]
LABELS: tuple[Label, ...] = get_args(Label)
TextName = Literal["inputs", "outputs", "passages"]


class Usage(NamedTuple):
    """The cost of a model's answer: tokens, and US dollars where the price is known.

    Attributes:
        input_cost_usd: the input's part of `cost_usd`; None where only the whole is known.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    input_cost_usd: float | None = None

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.input_tokens + self.output_tokens


class NotApplicable(Exception):
    """The sample lacks something that the judge needs, for example passages."""


class JudgeError(Exception):
    """The judge has no verdict, and another try would not give one; the failed call may have cost `usage`."""

    def __init__(self, message: str, usage: Usage | None = None) -> None:
        super().__init__(masked(message))  # providers repeat keys and addresses in what they answer
        self.usage = usage or Usage()


class TransientJudgeError(JudgeError):
    """The judge has no verdict now; `retry_after` is in seconds, if the provider gave it."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A verdict.

    Attributes:
        value: 0 to 1, where 1 is good for every metric.
        label: pass, fail, or unsure where the judge cannot decide.
        rationale: one or two sentences for a person; names the sentence that failed.
        input_tokens, output_tokens: what an LLM judge used, else 0.
        cost_usd: the price of the call in US dollars, if known.
        input_cost_usd: the input's part of it, if that is known.
        details: further text for the assessment's metadata (for example the effective temperature).
    """

    value: float
    label: Label
    rationale: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    input_cost_usd: float | None = None
    details: tuple[tuple[str, str], ...] = ()

    @property
    def usage(self) -> Usage:
        """The cost of the verdict."""
        return Usage(self.input_tokens, self.output_tokens, self.cost_usd, self.input_cost_usd)


class Judge(Protocol):
    """Scores samples. Thread-safe.

    Attributes:
        name: the configured name, unique; the assessment's name in MLflow.
        tier: local judges need no network, LLM judges cost money, and MLflow's scorers may do either.
        source_id: who judged: `qualitrace/groundedness` or the model URI.
        model: the URI of the model that it asks; empty if it asks none, or the scorer's own default.
        version: the numbers of the judge's rules or prompt, and a digest of the settings that can change a score. It
            changes whenever the same sample could get another score.
        pass_mark: the lowest value that may pass.
    """

    name: str
    tier: Tier
    source_id: str
    model: str
    version: str
    pass_mark: float

    def score(self, sample: Sample) -> Score:
        """Judge one sample.

        Raises:
            NotApplicable: the sample lacks what the judge needs.
            TransientJudgeError: try again later.
            JudgeError: there is no verdict.
        """
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a metric's local rules.

    Attributes:
        value: 0 to 1, where 1 is good.
        rationale: why, for a person.
        truncated: texts of which the rules saw only a part, beside the question and the answer, which the judge cuts.
        doubt: why a value that passes would be a guess; empty where it would not.
        excuse: why a value that fails would be a guess; empty where it would not.
    """

    value: float
    rationale: str
    truncated: tuple[TextName, ...] = ()
    doubt: str = ""
    excuse: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinMetric:
    """A metric that the configuration knows by name; `judges.builtin` explains how to add one.

    Attributes:
        name: as in the configuration.
        asks: the question that the score answers, for the documentation.
        needs: texts without which there is no score.
        any_need_will_do: one of `needs` is enough.
        version: of the local rules; raise it when the value, label or truncation of any sample changes.
        rules: what the local rules look at, for the documentation.
        is_heuristic: local verdicts rest on known words and patterns, so a pass means only that none was found.
        assess: the local rules. They get a sample that has what the metric needs, its question and answer cut to
            `local.text.MAX_ANSWER` characters.
        pass_at: the lowest value that passes, unless configured.
        unsure_band: how far below that the verdict is still unsure.
        whole_for_pass: texts whose unseen part could turn a pass; if one was truncated, there is no pass.
        whole_for_fail: texts whose unseen part could turn a fail.
        judges_lone_text: a row of a file that has only an input is judged as if that were the answer.
        criterion_version: of `criterion`; raise it when the text changes.
        criterion: what an LLM judge is asked, after the texts.
    """

    name: str
    asks: str
    needs: tuple[TextName, ...]
    any_need_will_do: bool = False
    version: int
    rules: str
    is_heuristic: bool = False
    assess: Callable[[Sample], Finding]
    pass_at: float = 0.6
    unsure_band: float = 0.2
    whole_for_pass: tuple[TextName, ...] = ()
    whole_for_fail: tuple[TextName, ...] = ()
    judges_lone_text: bool = False
    criterion_version: int
    criterion: str

    def check(self, sample: Sample) -> None:
        """Check that a sample has what the metric needs.

        Raises:
            NotApplicable: it has not.
        """
        missing = [name for name in self.needs if not "".join(getattr(sample, name)).strip()]
        if self.any_need_will_do and missing == list(self.needs):
            raise NotApplicable(f"the sample has no {' and no '.join(missing)}")
        if missing and not self.any_need_will_do:
            raise NotApplicable(f"the sample has no {missing[0]}")


def short_hash(*parts: object) -> str:
    """Hash values into 12 hexadecimal digits; different values give different digits."""
    text = json.dumps([str(part) for part in parts], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
