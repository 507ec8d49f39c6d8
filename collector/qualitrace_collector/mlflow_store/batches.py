"""Batches that are written as a whole, or in parts where one of their items is refused."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from qualitrace_collector.mlflow_store.connection import Connection
from qualitrace_collector.mlflow_store.unavailable import StoreUnavailable, Unanswered

_T = TypeVar("_T")

HOPELESS = 3
"""Requests about a single item that got no answer, none having got one, from which on the rest of a batch waits."""
UNTRIED = "not tried, since none of those before it was answered"


@dataclass
class Progress:
    """What became of the parts of a batch: whether any was taken, and how many single ones got no answer."""

    taken: bool = False
    unanswered: int = 0

    @property
    def hopeless(self) -> bool:
        """Whether the rest need not be tried."""
        return not self.taken and self.unanswered >= HOPELESS


def write_in_halves(
    mlflow: Connection, write: Callable[[Sequence[_T]], None], items: Sequence[_T], progress: Progress | None = None
) -> list[tuple[_T, Exception]]:
    """Write items; halve a refused batch until only the guilty are left, and return those with their errors.

    Where every single one gets no answer, the rest is returned untried, with `StoreUnavailable`.

    Args:
        progress: of the batch that these items are a part of.

    Raises:
        StoreUnavailable: MLflow is away.
    """
    if not items:
        return []
    if progress is None:
        progress = Progress()
    if progress.hopeless:
        return [(item, StoreUnavailable(UNTRIED)) for item in items]
    try:
        write(items)
    except Exception as error:
        mlflow.raise_if_unavailable(error)
        middle = len(items) // 2
        if not middle:
            progress.unanswered += isinstance(error, Unanswered)
            return [(items[0], error)]
        halves = items[:middle], items[middle:]
        return [found for half in halves for found in write_in_halves(mlflow, write, half, progress)]
    progress.taken = True
    return []
