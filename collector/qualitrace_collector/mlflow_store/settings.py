"""The section `mlflow`."""

from pathlib import Path
from typing import Literal

from pydantic import AnyHttpUrl, Field

from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import Duration, HeaderSecret, TrackingUri
from qualitrace_collector.masking import masked


class Retention(Section):
    """How long MLflow keeps the traces of the experiments that the collector writes to; by default for ever."""

    days: float | None = Field(default=None, ge=1)
    """Traces that began longer ago are deleted."""
    traces: int | None = Field(default=None, ge=1)
    """All but this many newest traces of each experiment that the collector writes to are deleted."""


class Mlflow(Section):
    """Where traces are stored."""

    tracking_uri: TrackingUri = ""
    """`sqlite:///…`, `postgresql://…` or `http(s)://…`. Empty means `mlflow.db` in `data_dir`."""
    ui_url: AnyHttpUrl | None = None
    """Where readers find MLflow's pages, if not at an `http(s)` tracking URI. Pages and notifications link to them."""
    token: HeaderSecret | None = None
    """The Bearer token for a tracking server. For Basic write `https://user:${env:PASSWORD}@host` as the URI."""
    experiment: str = "{service.name}"
    """The experiment of a trace. `{service.name}` stands for its service, `{tenant}` for its tenant."""
    keep: Literal["genai", "all"] = "genai"
    """`all` stores traces without a GenAI span too."""
    max_experiments: int = Field(default=200, ge=1)
    """Distinct services of a tenant; of all tenants together five times as many. Further ones are called `other`."""
    forget_services_after: Duration = Field(default=30 * 86_400.0, ge=8 * 86_400.0)
    """A service that sent nothing for so long makes room for another. Its experiment stays."""
    retention: Retention = Retention()
    """How long traces are kept; by default for ever."""

    @property
    def pages(self) -> str:
        """The address of MLflow's UI without credentials; empty if there is none, as for a database."""
        if self.ui_url is not None:
            return masked(str(self.ui_url))
        return masked(self.tracking_uri) if self.tracking_uri.startswith(("http://", "https://")) else ""

    def uri(self, data_dir: Path) -> str:
        """Return the tracking URI: as configured, else that of a SQLite database in `data_dir`."""
        return self.tracking_uri or f"sqlite:///{data_dir.resolve() / 'mlflow.db'}"
