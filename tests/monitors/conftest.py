"""Shared by the tests of the monitors: a state database, scores in it, the web port, a receiver of webhooks."""

import itertools
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts import new_scores
from qualitrace_monitors.estimate.scores import ScoreRow
from support.judging import Monitor
from support.mlflow_db import new_database
from support.web import WebStand

AddScore = Callable[..., str]
AddScores = Callable[..., None]
OpenDatabase = Callable[[Path], Database]


@pytest.fixture
def open_database() -> OpenDatabase:
    """Open a state database."""
    return Database


@pytest.fixture
def database(tmp_path: Path, open_database: OpenDatabase) -> Iterator[Database]:
    """Provide an empty state database."""
    opened = open_database(tmp_path / "state.db")
    yield opened
    opened.close()


@pytest.fixture
def add_score() -> AddScore:
    """Write a score of a new trace into a database; gives the trace's id."""

    numbers = itertools.count(1)

    def add(into: Database, label: str, at: float, **changes: Any) -> str:
        with into.transaction() as connection:
            return _put_score(connection, next(numbers), label, at, **changes)

    return add


@pytest.fixture
def add_scores() -> AddScores:
    """Write scores of new traces in one transaction: passes and fails."""

    numbers = itertools.count(1)

    def add(into: Database, passes: Iterable[bool], at: float, **changes: Any) -> None:
        with into.transaction() as connection:
            for passed in passes:
                _put_score(connection, next(numbers), "pass" if passed else "fail", at, **changes)

    return add


def _put_score(
    connection: sqlite3.Connection,
    number: int,
    label: str,
    at: float,
    *,
    value: float | None = None,
    **changes: object,
) -> str:
    trace_id = f"tr-{number:032x}"
    default_value = {"pass": 1.0, "unsure": 0.5, "fail": 0.0}[label]
    row: dict[str, Any] = {
        "trace_id": trace_id,
        "judge": "groundedness",
        "version": "1",
        "tier": "local",
        "service": "shop",
        "model": "m",
        "prompt_version": "",
        "value": default_value if value is None else value,
        "label": label,
        "rationale": "",
        "inclusion_probability": 1.0,
        "assessment_id": "a",
        "tokens": 0,
        "cost_usd": None,
        "completed_at": at,
        "scored_at": at,
        "weight": 1.0,
        **changes,
    }
    new_scores.put(connection, ScoreRow(**row))
    ScoreRow(**row).save(connection)
    return trace_id


@pytest.fixture
def open_web(database: Database) -> Iterator[Callable[..., WebStand]]:
    """Start web ports over the database; sections of the configuration are keywords."""
    stands: list[WebStand] = []

    def open_stand(**config: object) -> WebStand:
        stands.append(WebStand(database, config))
        stands[-1].server.start()
        return stands[-1]

    yield open_stand
    for stand in stands:
        stand.server.stop()


@pytest.fixture
def web(open_web: Callable[..., WebStand]) -> WebStand:
    """Provide a started web port with the default configuration."""
    return open_web()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Monitor]]:
    monitors: list[Monitor] = []

    def make_monitor(*args: Any, **kwargs: Any) -> Monitor:
        monitors.append(Monitor(tmp_path, *args, **kwargs))
        return monitors[-1]

    yield make_monitor
    for monitor in monitors:
        monitor.database.close()


@pytest.fixture
def tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give MLflow an empty database and a folder for artifacts of its own, and afterwards take back what it sets."""
    monkeypatch.chdir(tmp_path)
    uri = new_database(tmp_path)
    for module, name in (("_tracking_service.utils", "_tracking_uri"), ("fluent", "_active_experiment_id")):
        monkeypatch.setattr(f"mlflow.tracking.{module}.{name}", None)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "_MLFLOW_ACTIVE_MODEL_ID"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    mlflow.set_tracking_uri(uri)
    return uri
