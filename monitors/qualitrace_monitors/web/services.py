"""What the web port needs from the rest of the process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.status import AlertStatus
from qualitrace_monitors.config import Config
from qualitrace_monitors.estimate import Estimator


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServices:
    """What the pages are made from.

    Attributes:
        registry: the metrics to expose.
        problems: lists what is not ready, one line each; empty when everything is.
        database: the state database.
        estimator: computes the quality that the dashboard shows.
        alerts: lists every alert with its state.
        config: the configuration in force.
        clock: Unix seconds.
    """

    registry: CollectorRegistry
    problems: Callable[[], list[str]]
    database: Database
    estimator: Estimator
    alerts: Callable[[], Sequence[AlertStatus]]
    config: Config
    clock: Callable[[], float]
