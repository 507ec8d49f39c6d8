"""Whether MLflow's tables are those that our own statements (`bulk_insert.py`) were tested on."""

from typing import TypeGuard

from mlflow.environment_variables import MLFLOW_TRACE_ARCHIVAL_CONFIG
from mlflow.store.tracking.abstract_store import AbstractStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import text

TESTED_REVISIONS = frozenset({"dc11669786a5"})
"""Of MLflow's schema (`alembic_version`): those on which the equality of rows was tested. MLflow 3.17."""

_DATABASES = ("sqlite", "postgresql")


def has_tested_tables(store: AbstractStore) -> TypeGuard[SqlAlchemyStore]:
    """Whether the store is a database of a tested schema revision, without extras that MLflow would have to keep.

    Those are workspaces (a store class of their own), rollups and archival.
    """
    if type(store) is not SqlAlchemyStore or store.db_type not in _DATABASES or MLFLOW_TRACE_ARCHIVAL_CONFIG.get():
        return False
    with store.engine.connect() as connection:
        revisions = set(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())
    if not revisions <= TESTED_REVISIONS:
        return False
    from mlflow.store.tracking.utils.sql_trace_rollups import rollups_enabled  # not in older releases

    return not rollups_enabled()
