"""The section `mlflow`."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import TrackingUri


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

    def uri(self, data_dir: Path) -> str:
        """Return the tracking URI: as configured, else that of a SQLite database in `data_dir`."""
        return self.tracking_uri or f"sqlite:///{data_dir.resolve() / 'mlflow.db'}"
