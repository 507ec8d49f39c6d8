"""Whether MLflow can be written: tried, and taken back where that is possible."""

import time
from collections.abc import Iterable
from typing import cast

from mlflow.entities import Experiment, ExperimentTag, ViewType
from mlflow.store.tracking.abstract_store import AbstractStore
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlExperimentTag
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import insert, literal, select

from qualitrace_collector.mlflow_store.experiments import WRITTEN_BY

CHECKED_AT = "qualitrace_checked_at"
"""Tag of an experiment on a tracking server, which has no way to try a write and take it back."""


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
    found = store.search_experiments(ViewType.ACTIVE_ONLY, 1, filter_string=ours)
    for experiment in cast(Iterable[Experiment], found):  # the abstract method declares no type
        store.set_experiment_tag(experiment.experiment_id, ExperimentTag(CHECKED_AT, str(int(time.time()))))
