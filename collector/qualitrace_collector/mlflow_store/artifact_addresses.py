"""The addresses of artifacts in MLflow's database, which are absolute: a database that moves needs other ones."""

import sqlite3
from contextlib import closing
from pathlib import Path

_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)


def change_artifact_addresses(database: Path, before: str, after: str) -> None:
    """Let every address below the URI `before` be below `after`; nobody else may use the database meanwhile."""
    if before == after:
        return
    with closing(sqlite3.connect(database)) as connection, connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table, column in _COLUMNS:
            if table not in tables:  # MLflow has not made them yet
                continue
            only = "key = 'mlflow.artifactLocation' AND " if table == "trace_tags" else ""
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {only}substr({column}, 1, ?) = ?",
                (after, len(before) + 1, len(before) + 1, f"{before}/"),
            )
