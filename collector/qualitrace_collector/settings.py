"""The collector's view of the configuration file."""

from typing import Any

from pydantic import ConfigDict, ModelWrapValidatorHandler, model_validator

from qualitrace_collector.config.section import validate_with
from qualitrace_collector.pipeline.settings import PipelineConfig
from qualitrace_collector.receive.settings import Listen, ReceiveConfig
from qualitrace_collector.telemetry.own_address import loops
from qualitrace_collector.telemetry.settings import Telemetry

_DOORS = {name: str(Listen.model_fields[name].default) for name in ("otlp_http", "otlp_grpc", "web")}


class CollectorConfig(PipelineConfig, ReceiveConfig):
    """All sections of the file, those of the monitors unread; `qualitrace_monitors.config` has a model of them too."""

    model_config = ConfigDict(extra="forbid")

    budget: Any = None
    alerts: Any = None
    heartbeat: Any = None
    notify: Any = None
    telemetry: Telemetry = Telemetry()
    """Where the server's own spans and metrics are sent."""

    @model_validator(mode="wrap")
    @classmethod
    def _does_not_send_to_itself(
        cls, data: Any, validate: ModelWrapValidatorHandler["CollectorConfig"]
    ) -> "CollectorConfig":
        return validate_with(loops(data, _DOORS), validate, data)

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking URI: as configured, else a SQLite database under `data_dir`."""
        return self.mlflow.uri(self.data_dir)
