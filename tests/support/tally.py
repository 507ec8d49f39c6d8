"""What became of acked traces, counted in the databases themselves."""

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import sqlalchemy

from support.load import SPANS

HALF = 1 << 55


def _is_in_half(trace_id: str) -> bool:
    """Whether a trace of a client that says nothing of sampling is judged at a rate of 0.5."""
    return int.from_bytes(hashlib.blake2b(trace_id.encode(), digest_size=7).digest()) >= HALF


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many traces were acked, and what is wrong with how many of them.

    Attributes:
        acked: traces of which every request was acked.
        found: of these, in MLflow.
        foreign: traces in MLflow that were never sent.
        incomplete: acked traces without all of their spans.
        duplicates: spans, assessments and scores beyond one for each.
        due: pairs of trace and judge that the sampling picked.
        judged: of these, with one assessment in MLflow and one score.
        ledger: what the ledger's totals are.
        expected_ledger: what they are to be.
    """

    acked: int
    found: int
    foreign: int
    incomplete: int
    duplicates: int
    due: int
    judged: int
    ledger: dict[tuple[str, str], int]
    expected_ledger: dict[tuple[str, str], int]

    @property
    def is_clean(self) -> bool:
        """Nothing lost, cut, doubled or missing, and the ledger adds up."""
        return (
            self.found == self.acked
            and self.judged == self.due
            and not (self.foreign or self.incomplete or self.duplicates)
            and self.ledger == self.expected_ledger
        )

    def table(self) -> str:
        """Return one line for each count."""
        return "\n".join(f"{field.name:16} {getattr(self, field.name)}" for field in fields(self))


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Return a query's rows from a database file that others write to."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def _mlflow_rows(uri: str, query: str) -> list[Any]:
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def ledger(data: Path) -> dict[tuple[str, str], int]:
    """Return the ledger's totals by judge (empty for whole traces) and outcome."""
    found = rows(data / "state.db", "SELECT judge, outcome, sum(total) FROM ledger GROUP BY 1, 2")
    return {(judge, outcome): total for judge, outcome, total in found if total}


def is_settled(data: Path) -> bool:
    """Whether the journal is empty and nothing waits for a judge."""
    ((requests,),) = rows(data / "journal.db", "SELECT requests FROM pending")
    return requests == 0 and not any(outcome == "queued" for _, outcome in ledger(data))


def count(
    data: Path, acked: Iterable[str], judges: Sequence[str], mlflow: str = "", others: Iterable[str] = ()
) -> Tally:
    """Count; the server's sampling rate is 0.5.

    Args:
        data: the server's data_dir.
        mlflow: the URI of MLflow's database; by default it is in `data`.
        others: traces that other servers stored there.
    """
    traces, elsewhere = set(acked), set(others)
    uri = mlflow or f"sqlite:///{data / 'mlflow.db'}"
    of_spans = _mlflow_rows(uri, "SELECT trace_id, count(*) FROM spans GROUP BY 1")
    spans = {trace: number for trace, number in of_spans if trace not in elsewhere}
    of_assessments = _mlflow_rows(uri, "SELECT trace_id, name FROM assessments")
    assessments = Counter(row for row in of_assessments if row[0] not in elsewhere)
    scores = Counter(rows(data / "state.db", "SELECT trace_id, judge FROM score"))
    due = {(trace, judge) for trace in traces for judge in judges if _is_in_half(trace)}
    picked = len(due) // len(judges)
    wanted = {("", "stored"): len(traces)}
    for judge in judges:
        wanted |= {(judge, "scored"): picked, (judge, "sampled_out"): len(traces) - picked}
    return Tally(
        acked=len(traces),
        found=len(traces & spans.keys()),
        foreign=len(spans.keys() - traces),
        incomplete=sum(spans.get(trace, 0) < SPANS for trace in traces),
        duplicates=sum(max(0, number - SPANS) for number in spans.values())
        + sum(number - 1 for number in (*assessments.values(), *scores.values())),
        due=len(due),
        judged=sum(assessments[pair] == 1 and scores[pair] == 1 for pair in due),
        ledger=ledger(data),
        expected_ledger={key: number for key, number in wanted.items() if number},
    )
