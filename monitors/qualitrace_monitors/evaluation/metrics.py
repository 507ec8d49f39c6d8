"""The judges of a run: the defaults of a model type, metrics by name, and comparisons with an expected answer.

The expected answer travels in the sample's metadata. Exact match and token F1 are SQuAD's (Rajpurkar et al., "SQuAD:
100,000+ Questions for Machine Comprehension of Text", EMNLP 2016, section 6.1): both texts in lower case, without
punctuation, articles and extra white space.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from qualitrace_collector.config.load import line_of, mistakes_of
from qualitrace_collector.sample import Sample
from qualitrace_monitors.evaluation.dataset import DataError
from qualitrace_monitors.judges.build import build_judge
from qualitrace_monitors.judges.contract import Judge, Label, NotApplicable, Score, Tier, short_hash
from qualitrace_monitors.judges.llm import LlmJudge
from qualitrace_monitors.judges.settings import METRICS, JudgeConfig

# Default metrics of each model type; with targets, those that compare with the expected answer as well.
MODEL_TYPES = {
    "question-answering": ("relevance", "faithfulness", "groundedness", "safety", "toxicity"),
    "text": ("safety", "toxicity", "pii"),
}
EXPECTED = "expected"  # key of the expected answer in a sample's metadata
# Metrics that a right answer in other words fails: they are shown, but make no row a bad one.
DESCRIPTIVE = ("exact_match", "token_f1")
# Recall of the expected tokens: without a model, an answer is right from the first on and wrong up to the second.
SURE_PASS, SURE_FAIL = 0.9, 0.3

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
ANSWER_CORRECTNESS = "answer_correctness"
CORRECT = (
    "Correctness: does the answer {{ outputs }} to the question {{ inputs }} say what the expected answer says? The "
    "expected answer is {{ context }}. Other words and further true detail are fine; a missing part, another number or "
    "name, or a contradiction is not."
)

MetricSpec = str | Mapping[str, Any] | JudgeConfig


def judges_of(
    model_type: str | None,
    metrics: Sequence[MetricSpec],
    with_targets: bool,
    model: str | None,
    base_url: str | None,
    temperature: float,
) -> list[Judge]:
    """Make the judges of a run; a metric given by the caller takes the place of a default of the same name.

    Raises:
        DataError: the model type or a metric is unknown, or there is none at all.
    """
    if model_type is not None and model_type not in MODEL_TYPES:
        raise DataError(f"`model_type`: must be one of {', '.join(MODEL_TYPES)} (got {model_type!r})")
    defaults = MODEL_TYPES[model_type] if model_type else ()
    configs = {config.name: config for config in map(_config, (*defaults, *metrics))}
    # A cascade judges by its model alone here: a data set is small, and its rows should have one scale.
    judges = [build_judge(config) for config in configs.values()]
    if with_targets:
        place = {"model": model, "base_url": base_url, "temperature": temperature}
        by_model = _config({"name": ANSWER_CORRECTNESS, "instructions": CORRECT, **place}) if model else None
        judges += reference_judges(by_model)
    if not judges:
        raise DataError(f"no metric: set `model_type` ({', '.join(MODEL_TYPES)}), or `metrics` ({', '.join(METRICS)})")
    return judges


def _config(spec: MetricSpec) -> JudgeConfig:
    if isinstance(spec, JudgeConfig):
        return spec
    given = {"name": spec} if isinstance(spec, str) else dict(spec)
    try:
        return JudgeConfig.model_validate(given)
    except ValidationError as error:
        mistakes = map(line_of, mistakes_of(error))
        raise DataError(f"metric {given.get('name')!r}: {'; '.join(mistakes)}") from None


def tokens(text: str) -> list[str]:
    """Split a text into SQuAD's normalised tokens."""
    return _ARTICLES.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split()


def exact_match(answer: str, expected: str) -> float:
    """Return 1 if both have the same normalised tokens, else 0."""
    return float(tokens(answer) == tokens(expected))


def token_f1(answer: str, expected: str) -> float:
    """Return the harmonic mean of precision and recall of the tokens, 0 to 1; two empty texts agree."""
    given, wanted = tokens(answer), tokens(expected)
    if not given or not wanted:
        return float(given == wanted)
    return 2 * _shared(given, wanted) / (len(given) + len(wanted))


def token_recall(answer: str, expected: str) -> float:
    """Return the share of the expected tokens that the answer has, 0 to 1."""
    given, wanted = tokens(answer), tokens(expected)
    return _shared(given, wanted) / len(wanted) if wanted else float(not given)


def _shared(given: list[str], wanted: list[str]) -> int:
    return (Counter(given) & Counter(wanted)).total()


class ReferenceJudge:
    """Compares the answer with the expected one by a rule. Thread-safe.

    Args:
        name: of the metric.
        measure: of answer and expected answer, 0 to 1.
        pass_mark, fail_mark: pass from the one, fail up to the other, unsure between.
    """

    tier: Tier = "local"

    def __init__(
        self, name: str, measure: Callable[[str, str], float], pass_mark: float, fail_mark: float | None = None
    ) -> None:
        self.name, self._measure, self.pass_mark = name, measure, pass_mark
        self._fail_mark = pass_mark if fail_mark is None else fail_mark
        self.source_id, self.model = f"qualitrace/{name}", ""
        self.version = short_hash(name, measure.__name__, self.pass_mark, self._fail_mark)

    def score(self, sample: Sample) -> Score:
        """Compare.

        Raises:
            NotApplicable: there is no expected answer.
        """
        expected = _expected(sample)
        value = self._measure(sample.outputs, expected)
        return Score(value=value, label=self._label(value), rationale=f"Expected: “{expected[:200]}”.")

    def _label(self, value: float) -> Label:
        if value >= self.pass_mark:
            return "pass"
        return "unsure" if value > self._fail_mark else "fail"


class CorrectnessJudge(LlmJudge):
    """Asks a model whether the answer says what the expected one says. Thread-safe."""

    def score(self, sample: Sample) -> Score:
        """Judge, with the expected answer in the place of the passages.

        Raises:
            NotApplicable: there is no expected answer.
            JudgeError: as the model's judge.
        """
        return super().score(replace(sample, passages=(_expected(sample),)))


def _expected(sample: Sample) -> str:
    if EXPECTED not in sample.metadata:
        raise NotApplicable("the row has no expected answer")
    return sample.metadata[EXPECTED]


def reference_judges(correctness: JudgeConfig | None) -> list[Judge]:
    """Make the judges that need expected answers; `correctness` names the model that judges it, if there is one."""
    by_tokens = ReferenceJudge(ANSWER_CORRECTNESS, token_recall, SURE_PASS, SURE_FAIL)
    return [
        ReferenceJudge("exact_match", exact_match, 1.0),
        ReferenceJudge("token_f1", token_f1, 0.5),
        by_tokens if correctness is None else CorrectnessJudge(correctness),
    ]
