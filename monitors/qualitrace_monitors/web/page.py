"""What a page is: an address, a template, and what the template shows; what pages read; how a reader acts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_monitors.notify.payload import Links
from qualitrace_monitors.overview.inputs import Inputs
from qualitrace_monitors.web.trials import Trials


class BadQuery(Exception):
    """A parameter in an address that cannot be read; the text says which, and what it may be."""


class NotFound(Exception):
    """What the address names is not there; the text says what."""


class CannotNow(Exception):
    """What was asked for cannot be done now; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources(Inputs):
    """What pages read. Everything in it may be used by several threads.

    Attributes:
        give_feedback: makes a person's opinion durable, on its way to MLflow. Raises JournalError.
        mlflow_uri: without credentials.
        trials: backtests that readers ask for.
        names_key: of the marks of values that are masked, see `PartNames`; at most 64 bytes.
    """

    give_feedback: Callable[[PersonFeedback], None]
    links: Links
    mlflow_uri: str
    trials: Trials
    names_key: bytes

    @property
    def has_trace_pages(self) -> bool:
        """Whether the address of MLflow's pages is known: a database alone has none."""
        return self.links.mlflow_ui != ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """A request for a page.

    Attributes:
        parts: of the path, between its slashes, decoded.
        query: the last value of each parameter.
        may_act: whether the reader may do what `Action`s do.
        reader: the name that the reader gave in a form before, where the page shows it; empty if there is none.
    """

    parts: tuple[str, ...]
    query: Mapping[str, str]
    may_act: bool
    reader: str


@dataclass(frozen=True, slots=True)
class Page:
    """A kind of page.

    Attributes:
        path: Starlette's form of the address.
        template: a file in `templates/`, which extends `base.html`.
        context: returns what the template shows. Raises BadQuery and NotFound.
        menu: its name in the menu; empty if it is not there.
        names_reader: whether it shows the reader's name: it is made for each reader then, not once for all.
    """

    path: str
    template: str
    context: Callable[[Sources, PageRequest], Mapping[str, Any]]
    menu: str = ""
    names_reader: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """What a form on a page does.

    Attributes:
        path: the form's address, for POST.
        perform: does it with the fields of the form, and returns the address of the page to show next, from the root
            on. Raises BadQuery, NotFound and CannotNow. A field `reader` is the reader's name, which the browser keeps.
    """

    path: str
    perform: Callable[[Sources, Mapping[str, str]], str]
