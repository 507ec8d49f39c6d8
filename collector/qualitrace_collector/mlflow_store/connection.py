"""MLflow as it is reached: by a database or a tracking server, and which errors mean that it is away."""

from collections.abc import Generator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.store.tracking.abstract_store import AbstractStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking._tracking_service.utils import _get_store  # pyright: ignore[reportPrivateUsage]
from mlflow.utils.credentials import get_default_host_creds
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from qualitrace_collector.masking import masked
from qualitrace_collector.mlflow_store.postgres import is_fault, set_deadlines
from qualitrace_collector.mlflow_store.reach import check_database
from qualitrace_collector.mlflow_store.tracking_server import TrackingServer
from qualitrace_collector.mlflow_store.unavailable import (
    ResourceShortage,
    StoreUnavailable,
    Unanswered,
    is_shortage,
    reason,
)

_TRANSIENT_CODES = {
    "TEMPORARILY_UNAVAILABLE",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "DEADLINE_EXCEEDED",
    # A server that cannot take any trace.
    "ENDPOINT_NOT_FOUND",
    "NOT_IMPLEMENTED",
}


class Connection:
    """MLflow's own store at a tracking URI.

    Args:
        tracking_uri, artifact_uri: as `TraceStore` takes them.
    """

    def __init__(self, tracking_uri: str, artifact_uri: str) -> None:
        self._tracking_uri = tracking_uri
        self._artifact_uri = artifact_uri
        self._reached = False

    @property
    def shown_uri(self) -> str:
        """The tracking URI without credentials."""
        return masked(self._tracking_uri)

    @property
    def store(self) -> AbstractStore:
        """MLflow's own store.

        Raises:
            StoreUnavailable: its database does not answer.
        """
        if not self._reached:  # MLflow would try for minutes, and say nothing
            check_database(self._tracking_uri)
            self._reached = True
        return mlflow_store(self._tracking_uri, self._artifact_uri)

    def check(self) -> None:
        """Raise `StoreUnavailable` if MLflow does not answer."""
        try:
            self.store.search_experiments(max_results=1)
        except Exception as error:
            kind = ResourceShortage if is_shortage(error) else StoreUnavailable
            raise kind(f"{self.shown_uri}: {reason(error)}") from error

    @contextmanager
    def asking(self) -> Generator[AbstractStore]:
        """Give MLflow's store; `StoreUnavailable` takes the place of errors that are not the data's fault."""
        try:
            yield self.store
        except Exception as error:
            self.raise_if_unavailable(error)
            raise

    def raise_if_unavailable(self, error: Exception) -> None:
        """Raise `StoreUnavailable` unless the data are at fault, or may be: MLflow answers, but not to this."""
        if isinstance(error, Unanswered):
            try:
                self.check()
            except StoreUnavailable:
                raise error from None
            return
        if isinstance(error, StoreUnavailable):
            raise error
        if is_shortage(error):
            raise ResourceShortage(reason(error)) from error
        if _is_transient(error):
            raise StoreUnavailable(reason(error)) from error
        # A server answers 422 or INTERNAL_ERROR for faults of its own, too: one that is well answers the check.
        self.check()


def mlflow_store(tracking_uri: str, artifact_uri: str | None = None) -> AbstractStore:
    """Return MLflow's store, the same one for the same URIs.

    Args:
        artifact_uri: where artifacts of new experiments go; None leaves it to MLflow. A SQLite file always has them
            beside it.
    """
    if tracking_uri.startswith("http"):
        return _tracking_server(tracking_uri)
    if tracking_uri.startswith("sqlite") and (path := make_url(tracking_uri).database):
        artifact_uri = (Path(path).resolve().parent / "artifacts").as_uri()
    store = _get_store(tracking_uri, artifact_uri)
    if isinstance(store, SqlAlchemyStore):
        set_deadlines(store.engine)
    return store


@cache
def _tracking_server(tracking_uri: str) -> AbstractStore:
    return TrackingServer(partial(get_default_host_creds, tracking_uri))


def _is_transient(error: Exception) -> bool:
    if is_fault(error):
        return True
    if isinstance(error, MlflowException):
        return error.error_code in _TRANSIENT_CODES
    # What is asked outside of MLflow's sessions raises what MLflow calls TEMPORARILY_UNAVAILABLE.
    return isinstance(error, (OSError, OperationalError))
