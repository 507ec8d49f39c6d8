"""Processes that hang are started again, and a receiver of alerts that hangs costs no trace."""

import os
import signal
import socket
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from qualitrace_monitors.reload.channel import Requests
from qualitrace_monitors.reload.configuration import Configuration
from qualitrace_monitors.server import supervise
from support.mlflow_db import new_database
from support.otlp import rag_trace, request
from support.serving import Server
from support.waiting import eventually


def body(number: int) -> bytes:
    return request(rag_trace(number, question="Q?", answer="A.", passages=["P."])).SerializeToString()


def test_processes_that_hang_are_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Both are stopped by a signal, and both come back; the restarts are counted, and what was acked is stored."""
    monkeypatch.setattr(supervise, "SILENCE_SECONDS", 5.0)
    server = Server(tmp_path, judges=[])
    (tmp_path / "data").mkdir(mode=0o700)
    new_database(tmp_path / "data")
    running = supervise.Supervisor(
        Configuration.read(server.config_path), ["collector", "monitor"], [], Requests(), threading.Event()
    )
    children = list(running._children.values())

    def all_ready() -> bool:
        for child in children:
            child.keep_running()
        return all(child.ready for child in children)

    try:
        for child in children:
            child.start()
        eventually(all_ready, timeout=90)
        assert server.send(body(1)).status_code == 200
        hanging = [child.pid for child in children]
        for pid in hanging:
            os.kill(pid or 0, signal.SIGSTOP)
        eventually(lambda: all_ready() and not {child.pid for child in children} & {*hanging}, timeout=90)
        eventually(lambda: server.sample("qualitrace_traces_total", outcome="stored") == 1)
        for process in ("receive", "work"):
            assert server.sample("qualitrace_process_restarts_total", process=process, reason="hang") == 1
    finally:
        for child in children:
            child.stop()


def test_a_receiver_that_never_answers_does_not_spoil_a_stop(tmp_path: Path, serve: Callable[..., Server]):
    """A notification hangs at SIGTERM: the traces that are complete by then are stored, and the server ends in time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        hook = {"url": f"http://127.0.0.1:{silent.getsockname()[1]}", "timeout": "60s"}
        server = serve(judges=["relevance"], notify={"ops": hook}, heartbeat={"notify": ["ops"]})
        with silent.accept()[0]:
            for number in range(1, 21):
                assert server.send(body(number)).status_code == 200
            assert server.stop() == 0
    assert "is killed" not in (tmp_path / "serve.log").read_text()
    with sqlite3.connect(tmp_path / "data" / "mlflow.db") as database:
        assert database.execute("SELECT count(*) FROM trace_info").fetchone() == (20,)
