"""The collector's view of the configuration file."""

from typing import Any

from pydantic import ConfigDict

from qualitrace_collector.pipeline.settings import PipelineConfig
from qualitrace_collector.receive.settings import ReceiveConfig


class CollectorConfig(PipelineConfig, ReceiveConfig):
    """All sections of the file, those of the monitors unread; `qualitrace_monitors.config` has a model of them too."""

    model_config = ConfigDict(extra="forbid")

    budget: Any = None
    alerts: Any = None
    heartbeat: Any = None
    notify: Any = None

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking URI: as configured, else a SQLite database under `data_dir`."""
        return self.mlflow.uri(self.data_dir)
