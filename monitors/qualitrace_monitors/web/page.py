"""What a page is: an address, a template, and what the template shows; what pages read; how a reader acts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.budget.pacing import Pacing
from qualitrace_monitors.budget.spending import Spending
from qualitrace_monitors.config import Config
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.notify.payload import Links
from qualitrace_monitors.reload.channel import ReloadState


class BadQuery(Exception):
    """A parameter in an address that cannot be read; the text says which, and what it may be."""


class NotFound(Exception):
    """What the address names is not there; the text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What pages read. Everything in it may be used by several threads.

    Attributes:
        problems: returns what is wrong with each component, empty where nothing is. It waits for nothing.
        journal_backlog: counts the requests that wait in the journal, and their bytes.
        journal_oldest: when the oldest of them was received, in Unix seconds; None if none waits.
        reload_state: how the last reload went; None where nobody supervises this process.
        mlflow_uri: without credentials.
        clock: Unix seconds.
    """

    config: Config
    database: Database
    estimator: Estimator
    alerts: AlertEngine
    problems: Callable[[], Mapping[str, str]]
    spending: Spending
    pacing: Pacing
    journal_backlog: Callable[[], tuple[int, int]]
    journal_oldest: Callable[[], float | None]
    reload_state: Callable[[], ReloadState | None]
    links: Links
    mlflow_uri: str
    clock: Callable[[], float]

    @property
    def has_trace_pages(self) -> bool:
        """Whether MLflow has a page of each trace: a database alone has none."""
        return self.mlflow_uri.startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """A request for a page.

    Attributes:
        parts: of the path, between its slashes, decoded.
        query: the last value of each parameter.
        may_act: whether the reader may do what `Action`s do.
    """

    parts: tuple[str, ...]
    query: Mapping[str, str]
    may_act: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A kind of page.

    Attributes:
        path: Starlette's form of the address.
        template: a file in `templates/`, which extends `base.html`.
        context: returns what the template shows. Raises BadQuery and NotFound.
        menu: its name in the menu; empty if it is not there.
    """

    path: str
    template: str
    context: Callable[[Sources, PageRequest], Mapping[str, Any]]
    menu: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """What a form on a page does.

    Attributes:
        path: the form's address, for POST.
        perform: does it with the fields of the form, and returns the address of the page to show next, from the root
            on. Raises BadQuery and NotFound.
    """

    path: str
    perform: Callable[[Sources, Mapping[str, str]], str]
