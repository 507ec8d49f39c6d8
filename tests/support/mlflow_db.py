"""A real MLflow on SQLite: its schema is made once a test run and copied for each test."""

import functools
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.convert import ConvertedTrace, convert
from qualitrace_collector.mlflow_store.store import TraceStore
from qualitrace_collector.piece import Piece, SpanRecord
from support.otlp import request


@functools.cache
def _template() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="qualitrace-test-mlflow-")  # deleted when the process ends
    TraceStore(f"sqlite:///{folder.name}/mlflow.db", Path(folder.name).as_uri(), "x").check()
    return folder


def new_database(folder: Path) -> str:
    """Put an empty MLflow database into `folder`; return its tracking URI."""
    path = folder / "mlflow.db"
    shutil.copy(f"{_template().name}/mlflow.db", path)
    return f"sqlite:///{path}"


def new_store(folder: Path, experiment: str = "{service.name}") -> TraceStore:
    """Make a store on an empty MLflow database in `folder`."""
    return TraceStore(new_database(folder), (folder / "artifacts").as_uri(), experiment)


def refuse_spans(tracking_uri: str, trace_id: str) -> None:
    """Make the database refuse the spans of a certain trace, as it refuses values that it cannot hold."""
    with closing(sqlite3.connect(tracking_uri.removeprefix("sqlite:///"))) as connection:
        connection.execute(
            f"CREATE TRIGGER refuse BEFORE INSERT ON spans WHEN NEW.trace_id = '{trace_id}' "
            "BEGIN SELECT RAISE(ABORT, 'value out of range'); END"
        )


def converted(spans: Iterable[Span], service: str) -> ConvertedTrace:
    """Convert the spans of one trace as the pipeline does."""
    (group,) = request(spans, service).resource_spans
    records = tuple(SpanRecord(span, group.resource, group.scope_spans[0].scope) for span in group.scope_spans[0].spans)
    piece = Piece(trace_id=records[0].span.trace_id, spans=records, logs=(), root_seen=True, positions=frozenset({1}))
    return convert(piece, service)
