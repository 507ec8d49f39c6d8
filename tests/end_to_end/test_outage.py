"""MLflow away under full load, in short; `make outage` is the long form."""

import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

from support.otlp import rag_trace, request
from support.outage import outage_run
from support.serving import Server
from support.sqlite_lock import locked
from support.waiting import eventually

MAX_SIZE = 8_000_000
MAX_MEGABYTES = 600


def test_an_outage_fills_the_journal_and_drains(tmp_path: Path):
    """Intake goes on until the journal is full, then asks to come back; afterwards all is stored, in bounded memory."""
    outcome = outage_run(tmp_path, seconds=1, max_size=MAX_SIZE, threads=4)
    assert outcome.acked_meanwhile > 0
    assert outcome.refused > 0
    assert outcome.retry_after == {"1"}
    assert set(outcome.memory) == {"receive", "work"}
    assert max(outcome.memory.values()) < MAX_MEGABYTES
    assert outcome.tally.is_clean, outcome.tally.table()


def test_serve_stops_in_time_while_mlflow_is_locked(serve: Callable[..., Server]):
    """MLflow's writes wait 20 s for SQLite's lock; SIGTERM ends the server within 10 s all the same, by itself.

    OTLP is acked as long as `work` runs, so that senders wait for the next start alone.
    """
    server = serve(judges=[])
    with locked(server.folder / "data" / "mlflow.db"):
        spans = rag_trace(1, question="Q?", answer="A.", passages=["P."])
        assert server.send(request(spans).SerializeToString()).status_code == 200
        eventually(lambda: server.sample("qualitrace_journal_backlog_requests") == 1)
        assert server.process is not None
        work = psutil.Process(server.children()["work"])
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: not is_acked(server), interval=0.1)
        assert not work.is_running()
        assert server.process.wait(10) == 0
    assert "is killed" not in (server.folder / "serve.log").read_text()
    server.start()
    eventually(lambda: server.sample("qualitrace_traces_total", outcome="stored") == 1)


def is_acked(server: Server) -> bool:
    """Whether an empty request is."""
    try:
        return server.send(request([]).SerializeToString()).status_code == 200
    except httpx.TransportError:
        return False
