"""Tries whether MLflow can be reached and written, without waiting for long and without leaving traces."""

import time
from pathlib import Path

from mlflow.entities import ExperimentTag, ViewType
from mlflow.store.tracking.abstract_store import AbstractStore
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlExperimentTag
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import NullPool, create_engine, insert, literal, make_url, select, text
from sqlalchemy.exc import SQLAlchemyError

from qualitrace_collector.masking import masked
from qualitrace_collector.mlflow_store.experiments import WRITTEN_BY
from qualitrace_collector.mlflow_store.unavailable import StoreUnavailable, reason

CHECKED_AT = "qualitrace_checked_at"
"""Tag of an experiment on a tracking server, which has no way to try a write and take it back."""

# How long a database may take, by the name that its driver gives the setting, and what is read of it. A locked SQLite
# file can still be opened, so its schema is read.
_PROBES = {
    "sqlite": ({"timeout": 2}, "SELECT count(*) FROM sqlite_master"),
    "postgresql": ({"connect_timeout": 3}, "SELECT 1"),
}


def check_database(tracking_uri: str) -> None:
    """Raise `StoreUnavailable` if a database cannot be connected to and read; other URIs pass."""
    if tracking_uri.startswith("http"):
        return
    url = make_url(tracking_uri)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return  # MLflow makes the file, and its folder
    arguments, query = _PROBES.get(url.get_backend_name(), ({}, "SELECT 1"))
    try:
        with create_engine(url, poolclass=NullPool, connect_args=arguments).connect() as connection:
            connection.execute(text(query))
    except SQLAlchemyError as error:
        raise StoreUnavailable(f"{masked(tracking_uri)}: {reason(error)}") from error


def try_to_write(store: AbstractStore) -> None:
    """Write something and take it back; on a server, tag an experiment that a collector stored traces in.

    Raises:
        Exception: whatever MLflow or its database says against it.
    """
    if isinstance(store, SqlAlchemyStore):
        columns = (SqlExperimentTag.key, SqlExperimentTag.value, SqlExperimentTag.experiment_id)
        row = select(literal(CHECKED_AT), literal(""), SqlExperiment.experiment_id).limit(1)
        with store.engine.connect() as connection:  # which rolls back what is not committed
            connection.execute(insert(SqlExperimentTag).from_select([column.key for column in columns], row))
        return
    ours = f"tags.{WRITTEN_BY} = 'true'"
    for experiment in store.search_experiments(ViewType.ACTIVE_ONLY, 1, filter_string=ours):
        store.set_experiment_tag(experiment.experiment_id, ExperimentTag(CHECKED_AT, str(int(time.time()))))
