"""The sections `collector`, `assembly` and `sampling`, and what the pipeline needs to know of a judge."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ByteSize, ConfigDict, Field, model_validator

from qualitrace.redaction.redactor import SECRET, Redactor
from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import Duration, Identifier
from qualitrace_collector.mlflow_store.settings import Mlflow
from qualitrace_collector.pipeline.match import Find, Match

# How long a trace's row is kept: a span that comes later than this starts the trace again in the ledger.
KEEP_SECONDS = 7 * 86_400.0

# Each trace is compared with all of them.
MAX_STRATA = 50


def _can_be_compiled(rule: str) -> str:
    Redactor([rule])
    return rule


RedactRule = Annotated[str, AfterValidator(_can_be_compiled)]


class Collector(Section):
    """What is done to everything that comes in."""

    redact: tuple[RedactRule, ...] = (SECRET,)
    """What is replaced in texts: `secret`, `email`, `phone`, `card`, `iban`, `ssn`, `ip`, `/regular expression/`."""


class Assembly(Section):
    """When a trace counts as complete."""

    quiet_period: Duration = 2.0
    """A trace is complete when its root has ended and no span has come for this long."""
    orphan_period: Duration = 120.0
    """A trace whose root does not come is judged without it when no span has come for this long."""
    max_open: Duration = 60.0
    """A trace that is open for longer is stored unfinished, and judged when its root comes."""
    max_age: Duration = 86_400.0
    """A trace that still gets spans is judged without its root after this time."""
    max_spans: int = Field(default=200_000, ge=1)
    """Spans and log records in memory. Beyond it, the oldest traces are stored first."""
    max_size: ByteSize = Field(default=ByteSize(32 << 20), ge=1)
    """Size of the requests in memory, without the largest. Beyond it, the oldest traces are stored first."""
    max_trace_spans: int = Field(default=10_000, ge=1)
    """Spans of a trace, over all requests. Those that come after are left out; a trace's root says how many."""
    max_trace_size: ByteSize = Field(default=ByteSize(32 << 20), ge=1)
    """Size of the spans of a trace, over all requests. Each event, link and attribute of them counts 200 bytes more."""


class Stratum(Section):
    """Traces that are judged at a rate of their own."""

    match: Match
    """Which traces, by service and attributes."""
    rate: float = Field(ge=0, le=1)
    """The share of them that is judged."""


class SampledJudge(Section):
    """A judge as the pipeline sees it: which traces it gets. A bare name in the file is one at `sampling.rate`."""

    model_config = ConfigDict(extra="ignore")

    name: Identifier
    """The name of the assessment in MLflow, and the label `judge` of the metrics."""
    rate: float | None = Field(default=None, ge=0, le=1)
    """The share of all traffic that this judge scores; by default that of `sampling`."""
    rates: tuple[Stratum, ...] = Field(default=(), max_length=MAX_STRATA)
    """Other shares of some of the traces; the first that matches counts. They take the place of `sampling.rates`."""

    match: Match | None = None
    """The traces that this judge sees, by service and attributes; by default all."""

    @model_validator(mode="before")
    @classmethod
    def _read_bare_name(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data


class Sampling(Section):
    """Which traces are judged: a consistent share of all traffic, and always those of some strata."""

    rate: float = Field(default=0.1, ge=0, le=1)
    """The share of all traffic that is judged."""
    rates: tuple[Stratum, ...] = Field(default=(), max_length=MAX_STRATA)
    """Other shares of some of the traces; the first that matches counts. A judge with a rate of its own has none."""
    always: tuple[Literal["error", "negative_feedback"], ...] = ("error", "negative_feedback")
    """Traces that are always judged."""
    always_budget_share: float = Field(default=0.5, ge=0, le=1)
    """The part of each budget that those may use. Beyond it, they are sampled like others."""

    def rate_of(self, judge: SampledJudge) -> float:
        """Return the share of the traffic outside of strata that `judge` scores."""
        return self.rate if judge.rate is None else judge.rate

    def strata_of(self, judge: SampledJudge) -> Sequence[Stratum]:
        """Return the strata at which `judge` has other rates."""
        return judge.rates if judge.rates or judge.rate is not None else self.rates

    def rate_for(self, judge: SampledJudge, find: Find) -> float:
        """Return the share of such traces that `judge` scores; `find` is as for `Match.holds`."""
        rates = (stratum.rate for stratum in self.strata_of(judge) if stratum.match.holds(find))
        return next(rates, self.rate_of(judge))

    def least_rate(self, judge: SampledJudge, service: str) -> float:
        """Return the least rate above 0 at which `judge` scores traces of a service; 0 if it scores none."""
        rates: list[float] = []
        for stratum in self.strata_of(judge):
            if stratum.match.may_hold_in(service):
                rates.append(stratum.rate)
                if stratum.match.is_of_services:
                    break
        else:
            rates.append(self.rate_of(judge))
        return min((rate for rate in rates if rate > 0), default=0.0)


# Names of the judges that run when the file lists none.
DEFAULT_JUDGES = ("relevance", "faithfulness", "groundedness", "safety", "toxicity")


class PipelineConfig(Section):
    """The sections that the pipeline reads."""

    collector: Collector = Collector()
    """What is done to everything that is received."""
    assembly: Assembly = Assembly()
    """When a trace is complete, and how much of it may wait in memory."""
    mlflow: Mlflow = Mlflow()
    """Where traces are stored, and for how long."""
    sampling: Sampling = Sampling()
    """Which traces are judged."""
    judges: tuple[SampledJudge, ...] = tuple(SampledJudge(name=name) for name in DEFAULT_JUDGES)
    """The judges. A bare name is the local judge of that metric; `[]` turns judging off."""
