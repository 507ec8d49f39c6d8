"""The sections that say what to receive, keep and sample; `quality` holds those that judge and alert."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AnyHttpUrl, BeforeValidator, ByteSize, Field, SecretStr, field_validator

from qualitrace.redact import Redactor
from qualitrace_collector.config.otlp import Otlp
from qualitrace_collector.config.quality import AlertRule, Budget, Heartbeat, JudgeConfig, WebhookConfig
from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import Address, Duration, TrackingUri

LOCAL_JUDGES = ("relevance", "faithfulness", "groundedness", "safety", "toxicity")


class Listen(Section):
    """Where the doors are. Loopback by default; elsewhere they need tokens."""

    otlp_http: Address = "127.0.0.1:4318"
    otlp_grpc: Address = "127.0.0.1:4317"
    web: Address = "127.0.0.1:9464"
    max_request_size: ByteSize = Field(
        default=ByteSize(64 << 20), ge=1, le=128 << 20, description="of one request, as sent and decompressed"
    )
    web_external_url: AnyHttpUrl | None = Field(default=None, description="the web port as readers of alerts reach it")
    web_token: SecretStr | None = None
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="Host names, beside loopback's, that the web port answers to"
    )

    @property
    def web_url(self) -> str:
        """Where readers of notifications find the web port, without a slash at the end."""
        return str(self.web_external_url or f"http://{self.web}").rstrip("/")


class Journal(Section):
    """The durable log of acked requests."""

    kind: Literal["sqlite"] = "sqlite"
    max_size: ByteSize = Field(default=ByteSize(1 << 30), description="refuse with a retryable answer beyond")


class Assembly(Section):
    """When a trace counts as complete."""

    quiet_period: Duration = 2.0
    orphan_period: Duration = 120.0
    max_open: Duration = 60.0
    max_age: Duration = 86_400.0
    max_spans: int = Field(default=200_000, ge=1, description="spans held in memory over all open traces")
    max_size: ByteSize = Field(default=ByteSize(32 << 20), ge=1, description="payload held in memory")


class Retention(Section):
    """How long MLflow keeps the traces of the experiments that the collector writes to; by default for ever."""

    days: float | None = Field(default=None, ge=1, description="a trace older than this is deleted")
    traces: int | None = Field(default=None, ge=1, description="newest traces of an experiment that are kept")


class Mlflow(Section):
    """Where traces are stored."""

    tracking_uri: TrackingUri = ""
    token: SecretStr | None = Field(default=None, description="sent to a tracking server as Bearer")
    experiment: str = "{service.name}"
    keep: Literal["genai", "all"] = "genai"
    max_experiments: int = Field(default=200, ge=1)
    retention: Retention = Retention()


class Sampling(Section):
    """Which traces are judged: a consistent share of all traffic, and always those of some strata."""

    rate: float = Field(default=0.1, ge=0, le=1)
    always: tuple[Literal["error", "negative_feedback"], ...] = ("error", "negative_feedback")
    always_budget_share: float = Field(default=0.5, ge=0, le=1, description="of each budget, for traces always judged")


class Collector(Section):
    """What is done to everything that comes in."""

    redact: tuple[str, ...] = Field(default=(), description="names of patterns, /regular expressions/")

    @field_validator("redact")
    @classmethod
    def _can_be_compiled(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        Redactor(rules)
        return rules


def _judge_entry(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Config(Section):
    """The whole configuration file."""

    listen: Listen = Listen()
    otlp: Otlp = Otlp()
    data_dir: Path = Path("qualitrace-data")
    journal: Journal = Journal()
    collector: Collector = Collector()
    assembly: Assembly = Assembly()
    mlflow: Mlflow = Mlflow()
    sampling: Sampling = Sampling()
    judges: tuple[Annotated[JudgeConfig, BeforeValidator(_judge_entry)], ...] = tuple(
        JudgeConfig(name=name) for name in LOCAL_JUDGES
    )
    budget: Budget = Budget()
    alerts: tuple[AlertRule, ...] = ()
    heartbeat: Heartbeat | None = None
    notify: dict[str, WebhookConfig] = Field(default_factory=dict)

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking URI: as configured, else a SQLite database under `data_dir`."""
        return self.mlflow.tracking_uri or f"sqlite:///{self.data_dir.resolve() / 'mlflow.db'}"

    def judge_rate(self, judge: JudgeConfig) -> float:
        """The share of all traffic that `judge` scores (its own rate, else `sampling.rate`)."""
        return self.sampling.rate if judge.rate is None else judge.rate
