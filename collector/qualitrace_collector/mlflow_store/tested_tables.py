"""Recognises the releases of MLflow whose tables `bulk_insert.py` was tested on.

The newest minor release of MLflow and the one before are supported; MLflow's own methods write to the older one. A test
fails when a newer release has other tables, and lists the steps to take.
"""

from typing import TypeGuard

from mlflow.environment_variables import MLFLOW_TRACE_ARCHIVAL_CONFIG
from mlflow.store.tracking.abstract_store import AbstractStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import text

TESTED_REVISIONS = frozenset({"dc11669786a5"})
"""The revisions of MLflow's schema (`alembic_version`) on which a test compared the rows: MLflow 3.17."""

_DATABASES = ("sqlite", "postgresql")


def has_tested_tables(store: AbstractStore) -> TypeGuard[SqlAlchemyStore]:
    """Return whether the store is a database of a tested schema revision, without workspaces, rollups and archival."""
    # Exactly this class: MLflow's store with workspaces is a subclass.
    if type(store) is not SqlAlchemyStore or store.db_type not in _DATABASES or MLFLOW_TRACE_ARCHIVAL_CONFIG.get():
        return False
    with store.engine.connect() as connection:
        revisions = set(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())
    if not revisions <= TESTED_REVISIONS:
        return False
    from mlflow.store.tracking.utils.sql_trace_rollups import rollups_enabled  # older releases lack it

    return not rollups_enabled()
