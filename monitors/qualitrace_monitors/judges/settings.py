"""The section `judges`: what is judged, by whom, and what it may cost."""

import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import AnyHttpUrl, ConfigDict, Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import Duration, HeaderSecret
from qualitrace_collector.pipeline.settings import SampledJudge
from qualitrace_monitors.judges.builtin import BUILTIN_METRICS
from qualitrace_monitors.judges.contract import Tier

METRICS = tuple(BUILTIN_METRICS)
if TYPE_CHECKING:
    MetricName = str
else:
    MetricName = Literal[(*METRICS, "custom")]
TEMPLATE_VARIABLES = ("inputs", "outputs", "context")


class Budget(Section):
    """Hard limits of what LLM judges may cost, per UTC hour and UTC day."""

    usd_per_hour: float | None = Field(default=None, ge=0)
    """US dollars per UTC hour. Only models whose price MLflow knows count."""
    usd_per_day: float | None = Field(default=None, ge=0)
    """US dollars per UTC day. Only models whose price MLflow knows count."""
    tokens_per_hour: int | None = Field(default=None, ge=0)
    """Tokens per UTC hour."""
    tokens_per_day: int | None = Field(default=None, ge=0)
    """Tokens per UTC day."""


class Cascade(Section):
    """The local judge first, then the model for answers that it is unsure of and for a random share of the rest."""

    audit_rate: float = Field(default=0.1, gt=0, le=1)
    """The share of the local judge's sure verdicts that the model checks."""


class GradedExample(Section):
    """An output that a person graded, for the model to learn the scale from."""

    inputs: str = ""
    """What was asked."""
    outputs: str
    """What was answered."""
    score: float
    """The answer's grade, on the scale of the grading prompt."""
    justification: str = ""
    """Why it has this grade."""

    @property
    def line(self) -> str:
        """The example as a sentence for the model."""
        because = f", because {self.justification}" if self.justification else ""
        return f"Example: asked {self.inputs!r}, answered {self.outputs!r}: grade {self.score:g}{because}"


class Thresholds(Section):
    """What `qualitrace calibrate` fits: pass from one value on, fail up to the other, unsure between."""

    passing: float | None = Field(default=None, ge=0, le=1, alias="pass")
    """An answer passes from this value on."""
    failing: float | None = Field(default=None, ge=0, le=1, alias="fail")
    """An answer fails up to this value."""
    version: str = ""
    """The judge's version that they were fitted to, as `qualitrace calibrate` prints it. What a later version is unsure
    of stays unsure."""

    @model_validator(mode="after")
    def _is_ordered(self) -> "Thresholds":
        if self.passing is None and self.failing is None:
            raise ValueError("thresholds: set pass, fail or both")
        if self.passing is not None and self.failing is not None and self.failing >= self.passing:
            raise ValueError(f"thresholds: fail must be less than pass (got {self.failing:g} and {self.passing:g})")
        return self


class JudgeConfig(SampledJudge):
    """A judge. A bare name in the file is the local judge of that metric."""

    model_config = ConfigDict(extra="forbid")

    metric: MetricName | None = None
    """What is judged. By default it is the metric of the judge's name, else `custom`."""
    model: str | None = None
    """The MLflow model URI of an LLM judge, such as `openai:/gpt-5-mini`. Without one the judge is local."""
    base_url: AnyHttpUrl | None = None
    """An OpenAI-compatible server, or another address of the provider."""
    api_key: HeaderSecret | None = None
    """The provider's key; by default that in the provider's environment variable."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    """The model's temperature; it is left out where the model refuses it."""
    instructions: str | None = None
    """What the model is asked, with `{{ inputs }}`, `{{ outputs }}`, `{{ context }}`."""
    definition: str | None = None
    """What a custom metric means, in place of `instructions`."""
    grading_prompt: str | None = None
    """Which grade is given for what, on a scale of your own. It needs `definition`."""
    examples: tuple[GradedExample, ...] = ()
    """Answers that a person graded. They need `definition`."""
    threshold: float | None = Field(default=None, ge=0, le=1)
    """An answer passes at this score or more; by default at the judge's own mark."""
    thresholds: Thresholds | None = None
    """Limits that `qualitrace calibrate` fitted. Between them the verdict is unsure."""
    timeout: Duration = Field(default=30.0, gt=0)
    """How long one call may take, from the connection to the last byte."""
    budget: Budget = Budget()
    """What this judge alone may cost."""
    cascade: Cascade | None = None
    """`true`, or a section: the model judges only what the local judge is unsure of, and a share of the rest."""
    scorer: str | None = None
    """An MLflow scorer: `mlflow.Guidelines`, `deepeval.Faithfulness`, `python:package.module:name`."""
    arguments: dict[str, Any] = Field(default_factory=dict[str, Any])
    """The scorer's arguments."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Allow a bare name."""
        section = super().__get_pydantic_json_schema__(core_schema, handler)
        return {"anyOf": [{"enum": list(METRICS), "description": "The local judge of that metric."}, section]}

    @property
    def kind(self) -> MetricName:
        """What the judge measures: its metric, its name if that is one, else custom."""
        return self.metric or (self.name if self.name in METRICS else "custom")

    @property
    def is_local(self) -> bool:
        """Whether it asks nobody, and so costs nothing."""
        return self.model is None and self.scorer is None

    @property
    def first_tier(self) -> Tier:
        """The tier of its scores; for a cascade, that of its first stage."""
        if self.scorer is not None:
            return "scorer"
        return "local" if self.model is None or self.cascade is not None else "llm"

    @property
    def criterion(self) -> str | None:
        """What the model is to judge by: `instructions`, or the metric that `definition` and its company describe."""
        if self.definition is None:
            return self.instructions
        parts = [self.definition]
        if self.grading_prompt:
            parts.append(f"Grading: {self.grading_prompt}\nThe score is the grade, brought to 0 (worst) to 1 (best).")
        parts += [example.line for example in self.examples]
        return "\n\n".join([*parts, "Question: {{ inputs }}\nAnswer to judge: {{ outputs }}"])

    @field_validator("cascade", mode="before", json_schema_input_type=bool | Cascade | None)
    @classmethod
    def _read_switch(cls, value: Any) -> Any:
        switch = str(value).lower() if isinstance(value, (bool, str)) else ""  # a text where a variable stood
        return {"true": {}, "false": None}.get(switch, value)

    @model_validator(mode="after")
    def _is_complete(self) -> "JudgeConfig":
        if self.model is not None and not re.match(r"^[a-z-]+:/\S+$", self.model):
            raise ValueError(f"model must be an MLflow model URI such as openai:/gpt-5-mini (got {self.model!r})")
        if self.scorer is not None:
            self._check_scorer(self.scorer)
        elif self.arguments:
            raise ValueError("arguments: only a scorer takes them")
        elif self.kind == "custom" and not (self.criterion and self.model):
            raise ValueError(
                f"{self.name!r} is no built-in metric ({', '.join(METRICS)}): "
                "a custom judge needs instructions (or a definition) and model"
            )
        if self.thresholds is not None and (self.threshold is not None or self.cascade is not None):
            raise ValueError("thresholds: they are those of one judge's values: remove threshold and cascade")
        if self.cascade is not None and (self.model is None or self.kind == "custom" or self.scorer is not None):
            raise ValueError("cascade: needs a built-in metric, for the local judge, and a model")
        self._check_model_settings()
        return self

    def _check_model_settings(self) -> None:
        if self.is_local:
            model_only = ("instructions", "definition", "base_url", "api_key")
            given = [name for name in model_only if getattr(self, name) is not None]
            if given:
                raise ValueError(f"{given[0]}: the local judge takes none; set model, for example openai:/gpt-5-mini")
        if self.definition is None and (self.grading_prompt or self.examples):
            raise ValueError("grading_prompt and examples: need a definition")
        if self.definition is not None and self.instructions is not None:
            raise ValueError("instructions and definition: give one of them")
        if self.criterion is not None:
            self._check_instructions(self.criterion)

    def _check_scorer(self, scorer: str) -> None:
        if not re.match(r"^(?:(?:mlflow|deepeval|ragas|phoenix|trulens)\.\w+|python:[\w.]+:\w+)$", scorer):
            raise ValueError(
                "scorer must be mlflow.NAME, deepeval.NAME, ragas.NAME, phoenix.NAME, trulens.NAME or "
                f"python:package.module:name (got {scorer!r})"
            )
        if self.criterion is not None or self.base_url is not None or self.api_key is not None:
            raise ValueError("a scorer takes no instructions, base_url or api_key: set its arguments or environment")

    def _check_instructions(self, instructions: str) -> None:
        used: set[str] = set(re.findall(r"{{\s*(\w+)\s*}}", instructions))
        if unknown := used - set(TEMPLATE_VARIABLES):
            raise ValueError(
                f"instructions: unknown variable {{{{ {min(unknown)} }}}}; known: {', '.join(TEMPLATE_VARIABLES)}"
            )
        if not used:
            raise ValueError("instructions: use at least one of {{ inputs }}, {{ outputs }}, {{ context }}")
