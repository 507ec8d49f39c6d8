"""Whether MLflow's database can be reached, without mlflow, which takes seconds to load and minutes to give up."""

from pathlib import Path

from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from qualitrace_collector.masking import masked
from qualitrace_collector.mlflow_store.postgres import set_deadlines
from qualitrace_collector.mlflow_store.unavailable import StoreUnavailable, reason

# How long a database may take, by the name that its driver gives the setting, and what is read of it. A locked SQLite
# file can still be opened, so its schema is read.
_PROBES = {
    "sqlite": ({"timeout": 2}, "SELECT count(*) FROM sqlite_master"),
    "postgresql": ({"connect_timeout": 3}, "SELECT 1"),
}


def sqlite_file(tracking_uri: str) -> Path | None:
    """Return the file of a SQLite database, absolute; None for other URIs."""
    if not tracking_uri.startswith("sqlite"):
        return None
    path = make_url(tracking_uri).database
    return Path(path).resolve() if path else None


def check_database(tracking_uri: str) -> None:
    """Raise `StoreUnavailable` if a database cannot be connected to and read; other URIs pass."""
    if tracking_uri.startswith("http"):
        return
    url = make_url(tracking_uri)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return  # MLflow makes the file, and its folder
    arguments, query = _PROBES.get(url.get_backend_name(), ({}, "SELECT 1"))
    engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
    set_deadlines(engine)
    try:
        with engine.connect() as connection:
            connection.execute(text(query))
    except SQLAlchemyError as error:
        raise StoreUnavailable(f"{masked(tracking_uri)}: {reason(error)}") from error
