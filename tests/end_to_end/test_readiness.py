"""What Kubernetes and Prometheus see while parts of a running server fail."""

import json
import os
import resource
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import plain_http
from support.otlp import rag_trace, request
from support.ports import free_port
from support.postgres import running_postgres
from support.serving import Server, limit_files
from support.sqlite_lock import locked
from support.waiting import eventually

TOKEN = "s3cret-token"


def body(number: int, padding: int = 0) -> bytes:
    spans = rag_trace(number, question="Q?", answer="A." + "x" * padding, passages=["P."])
    return request(spans).SerializeToString()


def probe(server: Server) -> tuple[int, dict[str, str]]:
    """Ask as a kubelet does, by an address and without a token; return the status, and each component's problem."""
    answer = plain_http.get(f"http://{server.web}/readyz", headers={"Host": "10.1.2.3:9464"}, timeout=30)
    report: dict[str, Any] = answer.json()
    assert report["service"] == "qualitrace"
    assert (report["status"] == "ready") is (answer.status_code == 200)
    return answer.status_code, {
        each["component"]: each["reason"] for each in report["degraded"] + report["unavailable"]
    }


def up(server: Server, component: str) -> float:
    text = plain_http.get(f"http://{server.web}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10).text
    return float(next(line.split()[1] for line in text.splitlines() if f'_up{{component="{component}"}}' in line))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server whose only model and only receiver of alerts do not answer."""
    folder = tmp_path_factory.mktemp("server")
    nobody = f"http://127.0.0.1:{free_port()}"
    server = Server(
        folder,
        judges=[
            {"name": "tone", "instructions": "Is it polite? {{ outputs }}", "model": "openai:/m", "base_url": nobody}
        ],
        notify={"ops": {"url": nobody}},
        heartbeat={"notify": ["ops"]},
        variables={"OPENAI_API_KEY": "none"},
    )
    server.config["listen"]["web_token"] = TOKEN
    server.config_path.write_text(json.dumps(server.config))
    yield server.start()
    server.stop()


def test_what_fails_beside_otlp_leaves_it_ready(server: Server):
    """A model, a receiver of alerts, and then MLflow too: each is named, and is a metric, and senders stay."""
    assert server.send(body(1)).status_code == 200
    eventually(lambda: set(probe(server)[1]) == {"judge:tone", "receiver:ops"}, timeout=60)
    assert probe(server)[1]["receiver:ops"] == "it did not take the last notification: it refuses connections"
    with locked(server.folder / "data" / "mlflow.db"):
        eventually(lambda: set(probe(server)[1]) == {"judge:tone", "receiver:ops", "mlflow"}, timeout=60)
        assert probe(server)[0] == 200
        assert [up(server, component) for component in ("otlp", "mlflow", "receiver:ops")] == [1, 0, 0]
    eventually(lambda: "mlflow" not in probe(server)[1], timeout=60)


def test_a_receive_process_that_hangs_is_unavailable(server: Server):
    """The port still takes connections; as soon as the process goes on, the server is ready again."""
    receive = server.children()["receive"]
    os.kill(receive, signal.SIGSTOP)
    try:
        eventually(lambda: probe(server)[0] == 503)
        assert "no request could be made durable" in probe(server)[1]["otlp"]
    finally:
        os.kill(receive, signal.SIGCONT)
    eventually(lambda: probe(server)[0] == 200)


def test_a_full_disk_is_unavailable_until_there_is_space_for_what_was_refused(server: Server):
    """Small commits fit into the files that there are; the request that did not is what counts."""
    receive, data = server.children()["receive"], server.folder / "data"
    room = 300_000  # for small commits
    limit_files(receive, max((data / f"journal.db{end}").stat().st_size for end in ("", "-wal")) + room)
    try:
        eventually(lambda: server.send(body(2, padding=3_000_000)).status_code == 503)
        eventually(lambda: probe(server)[0] == 503)
    finally:
        limit_files(receive, resource.RLIM_INFINITY)
    eventually(lambda: probe(server)[0] == 200)


def test_serve_names_a_database_that_is_away_at_the_start(tmp_path: Path):
    """The log says so within seconds, OTLP is taken meanwhile, and with the database comes the ready line."""
    port = free_port()
    server = Server(tmp_path, judges=[], mlflow={"tracking_uri": f"postgresql://postgres:pw@127.0.0.1:{port}/postgres"})
    server.launch()
    try:
        log = tmp_path / "serve.log"
        eventually(lambda: "MLflow is not available: postgresql://127.0.0.1" in log.read_text(), timeout=90)
        assert ":pw@" not in log.read_text()
        eventually(lambda: probe(server)[0] == 200)
        assert probe(server)[1]["mlflow"] == "it does not answer"
        assert server.send(body(1)).status_code == 200
        assert server.lines == []
        with running_postgres(port):
            eventually(lambda: server.lines, timeout=90)
            eventually(lambda: server.sample("qualitrace_traces_total", outcome="stored") == 1, timeout=60)
            assert server.stop() == 0
    finally:
        server.stop()


def test_serve_names_a_locked_state_database_at_the_start(tmp_path: Path):
    """After a few seconds; it gives up on one that stays locked, and says what to do."""
    server = Server(tmp_path, judges=[])
    (tmp_path / "data").mkdir(mode=0o700)
    path = tmp_path / "data" / "state.db"
    sqlite3.connect(path).execute("CREATE TABLE other (id)").connection.close()
    with locked(path):
        server.launch()
        assert server.process is not None
        assert server.process.wait(90) == 1
    log = (tmp_path / "serve.log").read_text()
    assert 0 < log.index(f"waiting for {path}: another process holds its lock") < log.index(f"{path}: cannot be used")


def test_serve_names_a_locked_database_at_the_start(tmp_path: Path):
    """Whoever holds the lock of MLflow's database; once it lets go the server is ready."""
    server = Server(tmp_path, judges=[])
    (tmp_path / "data").mkdir(mode=0o700)
    path = tmp_path / "data" / "mlflow.db"
    sqlite3.connect(path).execute("CREATE TABLE other (id)").connection.close()
    with locked(path):
        server.launch()
        log = tmp_path / "serve.log"
        eventually(lambda: f"MLflow is not available: sqlite:///{path}" in log.read_text(), timeout=90)
        assert "database is locked" in log.read_text()
    eventually(lambda: server.lines, timeout=90)
    assert server.stop() == 0
