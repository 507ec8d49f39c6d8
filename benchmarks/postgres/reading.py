"""How long MLflow's page of traces and its searches take, and how PostgreSQL answers the slow ones."""

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import event

from support.browser import chromium
from support.mlflow_server import mlflow_server

PAGE_SECONDS = 60.0
SLOW_SECONDS = 1.0
LONGEST_SECONDS = 120
MOST = 100
"""Traces of a page in MLflow's UI."""

NEWEST = ["timestamp_ms DESC"]

SEARCHES = {
    "newest": "",
    "errors": "trace.status = 'ERROR'",
    "slower than 5 s": "trace.execution_time_ms > 5000",
    "failed by a judge": "feedback.`groundedness.verdict` = 'fail'",
    "below a score": "feedback.groundedness < 0.01",
    "of a user": "metadata.`mlflow.trace.user` = 'ada'",
    "of a session": "metadata.`mlflow.trace.session` = 'none'",
    "with a tag": "tags.`service.version` = '0'",
    "with a word that many have": "trace.text LIKE '%reading room%'",
    "with a word that none has": "trace.text LIKE '%Amberjack%'",
}
"""Filters that people use; most find nothing, so that the database cannot stop at the first hundred."""


@dataclass(frozen=True)
class Request:
    """A request that a page or a search made, in seconds; `failed` if it took too long."""

    name: str
    seconds: float
    failed: bool = False


@dataclass
class Statements:
    """Attributes: `slow`, the statements that took longer than `SLOW_SECONDS`, with parameters and seconds."""

    slow: list[tuple[str, Any, float]] = field(default_factory=list[tuple[str, Any, float]])


def open_page(uri: str, folder: Path, experiment_id: str) -> list[Request]:
    """Open MLflow's page of an experiment's traces in a browser; return its requests to the server."""
    made: list[Request] = []
    with mlflow_server(folder, uri) as url, chromium() as browser:
        page = browser.new_page()

        def note(request: Any) -> None:
            made.append(Request(_named(request), request.timing["responseEnd"] / 1000))

        page.on("requestfinished", note)
        page.goto(f"{url}/#/experiments/{experiment_id}/traces", timeout=PAGE_SECONDS * 1000)
        page.wait_for_timeout(PAGE_SECONDS * 1000)  # it never stops asking, so there is no end to wait for
    return [request for request in made if "ajax-api" in request.name and "traces" in request.name]


def _named(request: Any) -> str:
    return f"{request.method} {urlsplit(request.url).path} {(request.post_data or '')[:160]}"


def search(uri: str, experiment_id: str) -> tuple[list[Request], list[str]]:
    """Search as MLflow's UI does; return how long each search took, and the plans of what was slow."""
    store = SqlAlchemyStore(uri, "file:///tmp")
    made: list[Request] = []
    plans: list[str] = []
    for name, filter_string in SEARCHES.items():
        with _watched(store) as statements:
            started, failed = time.monotonic(), False
            try:
                store.search_traces(
                    locations=[experiment_id], filter_string=filter_string, max_results=MOST, order_by=NEWEST
                )
            except Exception:  # the statement's timeout
                failed = True
            made.append(Request(name, time.monotonic() - started, failed))
        plans += [f"{name}: {took:.1f} s\n{_plan(store, sql, values)}" for sql, values, took in statements.slow]
    store.engine.dispose()
    return made, plans


@contextmanager
def _watched(store: SqlAlchemyStore) -> Generator[Statements]:
    seen, started = Statements(), 0.0

    def before(*_: Any) -> None:
        nonlocal started
        started = time.monotonic()

    def after(_connection: Any, _cursor: Any, sql: str, values: Any, *_: Any) -> None:
        if (took := time.monotonic() - started) > SLOW_SECONDS:
            seen.slow.append((sql, values, took))

    event.listen(store.engine, "before_cursor_execute", before)
    event.listen(store.engine, "after_cursor_execute", after)
    yield seen
    event.remove(store.engine, "before_cursor_execute", before)
    event.remove(store.engine, "after_cursor_execute", after)


def _plan(store: SqlAlchemyStore, sql: str, values: Any) -> str:
    with store.engine.connect() as connection:
        rows: Sequence[Any] = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS) {sql}", values).all()
    return "\n".join(row[0] for row in rows)
