"""What a kind of rule is. Pending, firing and resolved, and the notifications, are the engine's."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.quantities import KindName
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import Evidence
from qualitrace_monitors.budget.spending import Spending
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.estimate.interval import Interval
from qualitrace_monitors.notify.payload import Links

OWN_SERVICE = "qualitrace"
"""The service of alerts on qualitrace itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnState:
    """What is known of qualitrace itself.

    Attributes:
        spending: the account of the judges' budgets.
        judge_calls: returns by judge how many judgements came to a score, and how many calls failed, since the start.
        storing_is_held_up: whether requests wait for longer (at a time in Unix seconds) than a trace takes to be
            complete.
    """

    spending: Spending | None = None
    judge_calls: Callable[[], Mapping[str, tuple[int, int]]] = dict[str, tuple[int, int]]
    storing_is_held_up: Callable[[float], bool] = lambda _: False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What rules read, beside what has come since they last looked."""

    database: Database
    estimator: Estimator
    links: Links
    own: OwnState


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(ABC):
    """What a rule finds about a service.

    Attributes:
        value, interval, samples: the quantity now, as the dashboard shows it; None without data.
        tier: whose scores it rests on; empty where it rests on none.
    """

    rule: AlertRule
    service: str
    evidence: Evidence
    value: float | None = None
    interval: Interval | None = None
    samples: int = 0
    tier: str = ""

    @property
    def severity(self) -> str:
        """The label `severity`."""
        return self.rule.severity

    @property
    def began_at(self) -> float | None:
        """Roughly when the problem began, Unix seconds; None where the alert's own time is all that is known."""
        return None

    @abstractmethod
    def fired(self) -> str:
        """Say what is wrong, with numbers and units, since when, and with which promise; without a full stop."""

    @abstractmethod
    def recovered(self) -> str:
        """Say what is no longer wrong; without a full stop."""

    def supersedes(self, labels: Mapping[str, str]) -> bool:
        """Whether what fires with these labels has become more urgent, so that it has to fire again."""
        return False

    def details(self, connection: sqlite3.Connection, now: float) -> str:
        """Return lines with more for the description."""
        return ""


class Look(NamedTuple):
    """A moment at which the rules look at what has come.

    Attributes:
        now: Unix seconds.
        steady: seconds of a clock that nobody sets.
        step: by how many seconds the wall clock was set since the last look; 0 if it was not.
    """

    now: float
    steady: float
    step: float = 0.0


class Kind(ABC):
    """Rules of one kind.

    Args:
        rules: those of this kind.

    Attributes:
        names: the kinds of conditions that it watches.
        takes_always: whether it takes what has come without any rule, too.
    """

    names: ClassVar[Sequence[KindName]]
    takes_always: ClassVar[bool] = False

    def __init__(self, rules: Sequence[AlertRule], sources: Sources) -> None:
        self.rules = rules
        self.sources = sources

    def take(self, look: Look) -> None:  # noqa: B027  # most kinds read what others keep
        """Take what has come since the last look, in transactions of its own."""

    @abstractmethod
    def find(self, connection: sqlite3.Connection, rule: AlertRule, now: float) -> Mapping[str, Finding]:
        """Return what a rule finds, by service; inside the engine's transaction.

        A service that it does not name keeps its state: nothing is known of it.
        """
