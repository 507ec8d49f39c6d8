"""What the overview reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.budget.pacing import Pacing
from qualitrace_monitors.budget.spending import Spending
from qualitrace_monitors.config import Config
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.overview.day_before import DayBefore
from qualitrace_monitors.reload.channel import ReloadState


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalState:
    """The journal of acked requests.

    Attributes:
        requests, bytes: what waits to be stored.
        max_bytes: how much may wait; beyond it requests are refused.
        oldest_at: when the oldest of them was received, Unix seconds; None if none waits.
        free_bytes: how much the files on its disk can grow; infinity where the file system does not say.
    """

    requests: int
    bytes: int
    max_bytes: int
    oldest_at: float | None
    free_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What the overview reads. Everything in it may be used by several threads.

    Attributes:
        problems: returns what is wrong with each component, empty where nothing is. It waits for nothing.
        since: returns when a component's problem was first seen, in Unix seconds.
        journal: returns how the journal is; None if it cannot be read.
        reload_state: how the last reload went; None where nobody supervises this process.
        clock: Unix seconds.
    """

    config: Config
    database: Database
    estimator: Estimator
    day_before: DayBefore
    alerts: AlertEngine
    spending: Spending
    pacing: Pacing
    problems: Callable[[], Mapping[str, str]]
    since: Callable[[str], float | None]
    journal: Callable[[], JournalState | None]
    reload_state: Callable[[], ReloadState | None]
    clock: Callable[[], float]
