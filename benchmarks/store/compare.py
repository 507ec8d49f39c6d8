"""Both ways from OTLP spans to committed rows, in turns, each into an empty database of its own.

MLflow's is what its endpoint does with a request: `Span.from_otel_proto`, then `log_spans` of all its spans.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy
from mlflow.entities import Span as MlflowSpan
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from convert.compare import pieces_of
from intake.traces import templates
from qualitrace_collector.convert import convert_all
from qualitrace_collector.mlflow_store.store import TraceStore
from qualitrace_collector.piece import Piece
from side_by_side import SideBySide

BATCHES = (1, 20, 100)
SERVICE = "helpdesk"

Save = Callable[[Sequence[Piece]], None]


@dataclass(frozen=True, kw_only=True)
class Storing(SideBySide):
    """Traces per second of wall-clock time, and those of the last tenth of the run to show that it does not slow down.

    Attributes:
        batch: traces that are converted and stored together.
        stored: traces in qualitrace's database at the end.
    """

    database: str
    batch: int
    stored: int
    qualitrace_last: float


def compare(database: str, batch: int, seconds: float, postgres: str | None = None) -> Storing:
    """Store traces for half of `seconds` each.

    Args:
        database: `sqlite` or `postgresql`.
        postgres: URI of a server, up to the last slash, in which databases may be made.
    """
    with tempfile.TemporaryDirectory(prefix="qualitrace-bench-") as name:
        folder = Path(name)
        theirs = _sustained(
            _with_mlflow(new_database(folder, database, "theirs", postgres), folder), batch, seconds / 2
        )
        ours = _sustained(with_qualitrace(new_database(folder, database, "ours", postgres), folder), batch, seconds / 2)
    return Storing(
        database=database,
        batch=batch,
        stored=ours.traces,
        qualitrace_per_second=ours.per_second,
        qualitrace_last=ours.last_per_second,
        mlflow_per_second=theirs.per_second,
    )


def new_database(folder: Path, database: str, name: str, postgres: str | None) -> str:
    """Return the tracking URI of a database that does not exist yet or is empty."""
    if database == "sqlite":
        return f"sqlite:///{folder / name}.db"
    if postgres is None:
        raise ValueError("a PostgreSQL needs --postgres")
    unique = f"bench_{name}_{time.time_ns()}"
    engine = sqlalchemy.create_engine(f"{postgres}postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {unique}"))
    return postgres + unique


def with_qualitrace(uri: str, folder: Path) -> Save:
    """Return what stores pieces as the collector does: convert, then save."""
    store = TraceStore(uri, folder.as_uri(), SERVICE)
    store.check()

    def save(pieces: Sequence[Piece]) -> None:
        traces, failures = convert_all([(piece, SERVICE) for piece in pieces])
        refused = store.save(traces)
        if failures or refused:
            raise RuntimeError(f"not stored: {failures or refused}")

    return save


def _with_mlflow(uri: str, folder: Path) -> Save:
    store = SqlAlchemyStore(uri, folder.as_uri())

    def save(pieces: Sequence[Piece]) -> None:
        records = [record for piece in pieces for record in piece.spans]
        store.log_spans("0", [MlflowSpan.from_otel_proto(item.span, resource=item.resource) for item in records])

    return save


@dataclass(frozen=True)
class _Run:
    traces: int
    per_second: float
    last_per_second: float


def _sustained(save: Save, batch: int, seconds: float) -> _Run:
    """Save batches for some time; the first, which fills caches, does not count."""
    template = templates(batch)[0]
    save(pieces_of(template.fresh()))
    ends: list[float] = []
    started = time.perf_counter()
    while not ends or ends[-1] - started < seconds:
        save(pieces_of(template.fresh()))
        ends.append(time.perf_counter())
    tail = max(1, len(ends) // 10)
    since = ends[-tail - 1] if len(ends) > tail else started
    return _Run(
        traces=len(ends) * batch,
        per_second=len(ends) * batch / (ends[-1] - started),
        last_per_second=tail * batch / (ends[-1] - since),
    )
