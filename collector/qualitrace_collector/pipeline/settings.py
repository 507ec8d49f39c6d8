"""The sections `collector`, `assembly` and `sampling`, and what the pipeline needs to know of a judge."""

from typing import Any, Literal

from pydantic import ByteSize, ConfigDict, Field, field_validator, model_validator

from qualitrace.redact import Redactor
from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import Duration, Identifier
from qualitrace_collector.mlflow_store.settings import Mlflow


class Collector(Section):
    """What is done to everything that comes in."""

    redact: tuple[str, ...] = Field(default=(), description="names of patterns, /regular expressions/")

    @field_validator("redact")
    @classmethod
    def _can_be_compiled(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        Redactor(rules)
        return rules


class Assembly(Section):
    """When a trace counts as complete."""

    quiet_period: Duration = 2.0
    orphan_period: Duration = 120.0
    max_open: Duration = 60.0
    max_age: Duration = 86_400.0
    max_spans: int = Field(default=200_000, ge=1, description="spans held in memory over all open traces")
    max_size: ByteSize = Field(default=ByteSize(32 << 20), ge=1, description="payload held in memory")


class SampledJudge(Section):
    """A judge as the pipeline sees it: which traces it gets. A bare name in the file is one at `sampling.rate`."""

    model_config = ConfigDict(extra="ignore")

    name: Identifier
    rate: float | None = Field(default=None, ge=0, le=1, description="share of all traffic; else sampling.rate")

    @model_validator(mode="before")
    @classmethod
    def _read_bare_name(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data


class Sampling(Section):
    """Which traces are judged: a consistent share of all traffic, and always those of some strata."""

    rate: float = Field(default=0.1, ge=0, le=1)
    always: tuple[Literal["error", "negative_feedback"], ...] = ("error", "negative_feedback")
    always_budget_share: float = Field(default=0.5, ge=0, le=1, description="of each budget, for traces always judged")

    def rate_of(self, judge: SampledJudge) -> float:
        """Return the share of all traffic that `judge` scores."""
        return self.rate if judge.rate is None else judge.rate


DEFAULT_JUDGES = ("relevance", "faithfulness", "groundedness", "safety", "toxicity")
"""Names of the judges that run when the file lists none."""


class PipelineConfig(Section):
    """The sections that the pipeline reads."""

    collector: Collector = Collector()
    assembly: Assembly = Assembly()
    mlflow: Mlflow = Mlflow()
    sampling: Sampling = Sampling()
    judges: tuple[SampledJudge, ...] = tuple(SampledJudge(name=name) for name in DEFAULT_JUDGES)
