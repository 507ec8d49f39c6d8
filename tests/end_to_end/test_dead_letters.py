"""A trace that MLflow refuses, from the dead letters back into MLflow, with the commands of an operator."""

import json
import sqlite3
from collections.abc import Callable
from typing import Any

from support.commands import journal
from support.otlp import chat_span, rag_trace, request, trace_id
from support.serving import Server
from support.tally import ledger
from support.waiting import eventually

REFUSE = """CREATE TRIGGER refuse BEFORE INSERT ON spans WHEN new.name = 'POST /ask'
    BEGIN SELECT RAISE(ABORT, 'refused by the test'); END"""


def alter_mlflow(server: Server, statement: str) -> None:
    connection = sqlite3.connect(server.folder / "data" / "mlflow.db", timeout=30)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_refused_trace_is_replayed_when_mlflow_takes_it(serve: Callable[..., Server]):
    """While serve runs: listed, shown, put back, stored and judged; the ledger moves, and the others never waited."""
    server = serve(judges=["toxicity"])
    alter_mlflow(server, REFUSE)
    spans = rag_trace(1, question="How long?", answer="24 months.", passages=["It lasts 24 months."])
    harmless = [chat_span(2, 1, question="Q?", answer="A.")]
    assert server.send(request([*spans, *harmless]).SerializeToString()).status_code == 200
    eventually(lambda: server.sample("qualitrace_dead_letters") == 1)
    assert ledger(server.folder / "data")["", "dead_lettered"] == 1

    (letter,) = map(json.loads, journal(server, "list", "--json").splitlines())
    assert letter["trace_id"] == "tr-" + trace_id(1).hex()
    shown: dict[str, Any] = json.loads(journal(server, "show", letter["id"]))
    assert "refused by the test" in shown["error"]

    alter_mlflow(server, "DROP TRIGGER refuse")
    assert journal(server, "replay", "--all") == "1 put back into the journal\n"
    expected = {("", "stored"): 2, ("toxicity", "scored"): 2}
    eventually(lambda: ledger(server.folder / "data") == expected)
    assert server.sample("qualitrace_dead_letters") == 0
    assert journal(server, "list") == ""
