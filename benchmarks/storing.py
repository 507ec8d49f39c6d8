"""How fast traces get into MLflow's database: qualitrace beside MLflow's own store, into empty databases of their own.

MLflow's way is what its endpoint does with a request: `Span.from_otel_proto`, then `log_spans` of all its spans. Beside
both stands the least that a database takes, and what storing costs as the tables grow.
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy
from mlflow.entities import Span as MlflowSpan
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from conversion import SideBySide, pieces_of
from intake.traces import templates
from qualitrace_collector.convert import convert_all
from qualitrace_collector.mlflow_store.bulk_insert import CACHE_KIB
from qualitrace_collector.mlflow_store.experiments import ExperimentPlace
from qualitrace_collector.mlflow_store.store import TraceStore
from qualitrace_collector.mlflow_store.table_rows import TableRow, TableRows, rows_of
from qualitrace_collector.piece import Piece
from qualitrace_collector.pipeline.batch import BATCH_SPANS

BATCHES = (1, 20, 100)
SERVICE = "helpdesk"
SPANS_A_TRACE = 5
BATCH_TRACES = 400
STEPS = 10

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


def compare_storing(database: str, batch: int, seconds: float, postgres: str | None = None) -> Storing:
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


def bare_insertion(database: str, seconds: float, postgres: str | None = None) -> float:
    """Return the traces per second that the bare driver inserts and commits, in batches as in service.

    No writer of these tables can be faster; the distance from it is what is left to win.

    Args:
        database: `sqlite` or `postgresql`; `postgres` as in `compare_storing`.
        seconds: how long to insert; making the rows comes on top.
    """
    with tempfile.TemporaryDirectory(prefix="qualitrace-bench-") as name:
        uri = new_database(Path(name), database, "bare", postgres)
        TraceStore(uri, Path(name).as_uri(), SERVICE).check()
        with closing(sqlalchemy.create_engine(uri).raw_connection()) as connection:
            insert = _into_sqlite if database == "sqlite" else _into_postgres
            took, traces = 0.0, 0
            for rows in _batches():
                started = time.perf_counter()
                insert(connection.cursor(), rows)
                connection.commit()
                took, traces = took + time.perf_counter() - started, traces + len(rows.traces)
                if took >= seconds:
                    break
    return traces / took


def _batches() -> Iterator[TableRows]:
    (template, *_), place = templates(BATCH_SPANS // SPANS_A_TRACE), ExperimentPlace("0", "file:///artifacts")
    for _ in itertools.count():
        traces, _ = convert_all([(piece, SERVICE) for piece in pieces_of(template.fresh())])
        yield rows_of((place, trace) for trace in traces)


def _into_sqlite(cursor: Any, rows: TableRows) -> None:
    cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    for table, values in _tables(rows):
        columns = ", ".join(values[0])
        marks = ", ".join("?" * len(values[0]))
        cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", [tuple(row.values()) for row in values])


def _into_postgres(cursor: Any, rows: TableRows) -> None:
    for table, values in _tables(rows):
        with cursor.copy(f"COPY {table} ({', '.join(values[0])}) FROM STDIN") as copy:
            for row in values:
                copy.write_row(list(row.values()))


def _tables(rows: TableRows) -> list[tuple[str, list[TableRow]]]:
    tables = [("trace_info", rows.traces), ("trace_tags", rows.tags), ("spans", rows.spans)]
    return [*tables, ("trace_request_metadata", rows.metadata)] if rows.metadata else tables


@dataclass(frozen=True, kw_only=True)
class Step:
    """The cost of 1,000 traces on the way to that many spans, conversion included.

    Attributes:
        spans: in the database at the end of the step.
        cpu: CPU seconds of this process, without a database server's.
        seconds: wall-clock time.
    """

    database: str
    spans: int
    cpu: float
    seconds: float


def cost_by_size(database: str, spans: int, postgres: str | None = None) -> Iterator[Step]:
    """Store `spans` spans in an empty database, and report after each tenth what it cost."""
    (template,) = templates(BATCH_TRACES)
    with tempfile.TemporaryDirectory(prefix="qualitrace-bench-") as name:
        save = with_qualitrace(new_database(Path(name), database, "growth", postgres), Path(name))
        stored = 0
        for step in range(1, STEPS + 1):
            cpu, seconds, traces = time.process_time(), time.perf_counter(), 0
            while stored < spans * step // STEPS:
                pieces = pieces_of(template.fresh())
                save(pieces)
                traces += len(pieces)
                stored += sum(len(piece.spans) for piece in pieces)
            yield Step(
                database=database,
                spans=stored,
                cpu=(time.process_time() - cpu) / traces * 1_000,
                seconds=(time.perf_counter() - seconds) / traces * 1_000,
            )
