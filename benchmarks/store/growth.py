"""What storing costs as the tables grow: the same batches into one database, until it holds so many spans."""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from convert.compare import pieces_of
from intake.traces import templates
from store.compare import new_database, with_qualitrace

BATCH_TRACES = 400
STEPS = 10


@dataclass(frozen=True, kw_only=True)
class Step:
    """The cost of 1,000 traces on the way to so many spans, conversion included.

    Attributes:
        spans: in the database at the end of the step.
        cpu: CPU seconds of this process, without a database server's.
        seconds: wall-clock time.
    """

    database: str
    spans: int
    cpu: float
    seconds: float


def grow(database: str, spans: int, postgres: str | None = None) -> Iterator[Step]:
    """Store `spans` spans in an empty database, and tell after each tenth of them what the last cost."""
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
