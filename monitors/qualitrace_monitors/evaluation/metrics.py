"""Which judges score: the defaults of a model type, metrics by name, and judges as the configuration writes them."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from qualitrace_collector.config.load import line_of, mistakes_of
from qualitrace_monitors.evaluation.dataset import DataError
from qualitrace_monitors.evaluation.reference import ANSWER_CORRECTNESS, CORRECT, reference_judges
from qualitrace_monitors.judges import Judge, build_judges
from qualitrace_monitors.judges.settings import METRICS, JudgeConfig

MODEL_TYPES = {
    "question-answering": ("relevance", "faithfulness", "groundedness", "safety", "toxicity"),
    "text": ("safety", "toxicity", "pii"),
}
"""Default metrics of each model type; with targets, those that compare with the expected answer as well."""

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
        raise DataError(f"model_type: must be one of {', '.join(MODEL_TYPES)} (got {model_type!r})")
    defaults = MODEL_TYPES[model_type] if model_type else ()
    configs = {config.name: config for config in map(_config, (*defaults, *metrics))}
    judges = build_judges(list(configs.values()))
    if with_targets:
        judges += reference_judges(_correctness(model, base_url, temperature))
    if not judges:
        raise DataError(f"no metric: set model_type ({', '.join(MODEL_TYPES)}), or metrics ({', '.join(METRICS)})")
    return judges


def _correctness(model: str | None, base_url: str | None, temperature: float) -> JudgeConfig | None:
    if model is None:
        return None
    place = {"model": model, "base_url": base_url, "temperature": temperature}
    return _config({"name": ANSWER_CORRECTNESS, "instructions": CORRECT, **place})


def _config(spec: MetricSpec) -> JudgeConfig:
    if isinstance(spec, JudgeConfig):
        return spec
    given = {"name": spec} if isinstance(spec, str) else dict(spec)
    try:
        return JudgeConfig.model_validate(given)
    except ValidationError as error:
        mistakes = map(line_of, mistakes_of(error))
        raise DataError(f"metric {given.get('name')!r}: {'; '.join(mistakes)}") from None
