"""The configuration is read anew by SIGHUP and by `POST /-/reload`, while traces come in."""

import json
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest
from mlflow import MlflowClient

from qualitrace_monitors.server import supervise
from support import plain_http
from support.otlp import rag_trace, request, trace_id
from support.serving import Server
from support.waiting import eventually

JUDGES = ["groundedness"]
LOW = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.5"}
SUCCESSFUL = "qualitrace_config_last_reload_successful"
TAKEN_OVER = "qualitrace_config_last_reload_success_timestamp_seconds"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one server, which each test gives other settings."""
    started = Server(tmp_path_factory.mktemp("server"), judges=JUDGES).start()
    yield started
    started.stop()


def configure(server: Server, **sections: Any) -> None:
    """Write another file."""
    server.config_path.write_text(json.dumps(server.config | sections))


def hang_up(server: Server) -> None:
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)


def post(server: Server) -> httpx.Response:
    return plain_http.post(f"http://{server.web}/-/reload", timeout=60)


def wait_for_other_work(server: Server, before: dict[str, int]) -> None:
    """Wait until another process does the work; the one before reports the reload, too, before it ends."""
    eventually(lambda: server.children().get("work") not in (None, before["work"]), timeout=60)


def log_of(server: Server) -> str:
    return (server.folder / "serve.log").read_text()


@contextmanager
def traffic(server: Server, service: str, first: int) -> Generator[list[int]]:
    """Send traces one after another until the block ends, each until it is acked; gives the numbers of those acked."""
    acked: list[int] = []
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.02):
            number = first + len(acked)
            spans = rag_trace(number, question="How long?", answer="24 months.", passages=["It lasts 24 months."])
            with suppress(httpx.TransportError):
                if server.send(request(spans, service).SerializeToString()).status_code == 200:
                    acked.append(number)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield acked
    finally:
        stop.set()
        sender.join()


def test_a_hangup_under_load_loses_nothing(server: Server) -> None:
    """A new rule is in force, `receive` goes on with the open door, and each acked trace is stored and judged once."""
    before = server.children()
    taken_over = server.sample(TAKEN_OVER)
    configure(server, alerts=[LOW])
    with traffic(server, "hangup", 1000) as acked:
        eventually(lambda: len(acked) > 5)
        hang_up(server)
        wait_for_other_work(server, before)
        eventually(lambda: server.sample(TAKEN_OVER) > taken_over, timeout=60)
        seen = len(acked)
        eventually(lambda: len(acked) > seen + 5)
    assert server.children()["receive"] == before["receive"]
    eventually(
        lambda: server.sample("qualitrace_judgements_total", service="hangup", outcome="scored") == len(acked), 90
    )
    assert server.sample("qualitrace_traces_total", service="hangup", outcome="stored") == len(acked)
    client = MlflowClient(server.tracking_uri)
    experiment = client.get_experiment_by_name("hangup")
    assert experiment is not None
    traces = client.search_traces([experiment.experiment_id], max_results=500)
    assert sorted(trace.info.trace_id for trace in traces) == sorted(f"tr-{trace_id(n).hex()}" for n in acked)
    assert server.sample("qualitrace_alert_limit", alert="low", service="hangup") == pytest.approx(20)
    assert server.sample("qualitrace_process_restarts_total") == 0


def test_a_bad_file_is_refused_with_its_mistakes(server: Server) -> None:
    """Each mistake is in the answer and in the log, the metric says so, and everything goes on as before."""
    before, taken_over = server.children(), server.sample(TAKEN_OVER)
    configure(server, sampling={"rate": 3}, judges=["nonsense"])
    answer = post(server)
    assert answer.status_code == 400
    assert "sampling.rate: must be at most 1 (got 3)" in answer.text
    assert "nonsense" in answer.text
    assert "sampling.rate: must be at most 1 (got 3)" in log_of(server)
    eventually(lambda: server.sample(SUCCESSFUL) == 0)
    assert server.sample(TAKEN_OVER) == taken_over
    assert server.children() == before
    configure(server)
    assert post(server).status_code == 200
    wait_for_other_work(server, before)


def test_what_cannot_be_reloaded_is_named_and_nothing_else_is_applied(server: Server) -> None:
    """Addresses, folder, journal and MLflow's address; the rule in the same file is not there afterwards."""
    eventually(lambda: server.sample(SUCCESSFUL) == 1, timeout=60)
    before = server.children()
    others = {"web": "127.0.0.1:1", "otlp_http": "127.0.0.1:2", "otlp_grpc": server.grpc}
    configure(
        server,
        listen=others,
        data_dir="elsewhere",
        journal={"max_size": "2GiB"},
        mlflow={"tracking_uri": "http://user:s3cret@mlflow:5000"},
        alerts=[LOW | {"name": "other"}],
    )
    answer = post(server)
    names = [line.partition(":")[0] for line in answer.text.splitlines()]
    assert names == ["listen.otlp_http", "listen.web", "data_dir", "journal.max_size", "mlflow.tracking_uri"]
    assert "s3cret" not in answer.text + log_of(server)
    assert server.children() == before
    # A process that crashes now starts with the configuration in force, not with what the file says.
    server.kill("work")
    wait_for_other_work(server, before)
    eventually(lambda: server.sample(SUCCESSFUL) == 0, timeout=60)
    configure(server)
    assert post(server).status_code == 200
    eventually(lambda: server.sample(SUCCESSFUL) == 1)


def test_other_senders_need_another_receive(server: Server) -> None:
    """A token is asked for from now on; `work` goes on, and the door is open again within seconds."""
    before = server.children()
    configure(server, otlp={"tokens": [{"token": "let-me-in"}]})
    assert post(server).status_code == 200
    eventually(lambda: server.send(request([]).SerializeToString()).status_code == 401)
    after = server.children()
    assert after["work"] == before["work"]
    configure(server)
    assert post(server).status_code == 200
    eventually(lambda: server.send(request([]).SerializeToString()).status_code == 200)


def test_a_successor_that_cannot_work_gives_way(server: Server) -> None:
    """The file is valid, but `work` cannot start with it: the configuration before comes back, with an error."""
    before = server.children()
    key = server.folder / "data" / "fences.key"
    kept = key.read_bytes() if key.exists() else None
    key.write_bytes(b"too short")
    configure(server, sampling={"rate": 0.5})
    assert post(server).status_code == 200
    eventually(lambda: "back to the configuration before" in log_of(server), timeout=supervise.RELOAD_SECONDS + 30)
    if kept is None:
        key.unlink()
    else:
        key.write_bytes(kept)
    eventually(lambda: server.sample(SUCCESSFUL) == 0, timeout=60)
    assert server.sample("qualitrace_effective_rate", judge="groundedness") == 1
    assert server.children()["receive"] == before["receive"]
