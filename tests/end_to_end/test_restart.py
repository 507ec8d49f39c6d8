"""A restart in the middle, gentle or not, loses nothing and doubles nothing."""

import os
import signal
from collections.abc import Iterator

import pytest
from mlflow import MlflowClient

from support.backups import begin, restored, succeed
from support.load import Load
from support.memory import resident
from support.otlp import rag_trace, request, trace_id
from support.serving import Server
from support.sqlite_lock import locked
from support.waiting import eventually

JUDGES = ("relevance", "groundedness")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one server, which each test restarts in its way; the tests use services and numbers of traces of their own."""
    started = Server(tmp_path_factory.mktemp("server"), judges=list(JUDGES)).start()
    yield started
    started.stop()


def send(server: Server, service: str, numbers: range) -> None:
    """Send one trace a request; each must be acked."""
    for number in numbers:
        spans = rag_trace(number, question="How long?", answer="24 months.", passages=["It lasts 24 months."])
        assert server.send(request(spans, service).SerializeToString()).status_code == 200


def check(server: Server, service: str, numbers: range) -> None:
    """Every acked trace of the service is in MLflow once and whole, and each judge scored it once."""
    scored = len(numbers) * len(JUDGES)
    eventually(
        lambda: server.sample("qualitrace_judgements_total", service=service, outcome="scored") == scored, timeout=90
    )
    assert server.sample("qualitrace_traces_total", service=service, outcome="stored") == len(numbers)
    client = MlflowClient(server.tracking_uri)
    experiment = client.get_experiment_by_name(service)
    assert experiment is not None
    traces = client.search_traces([experiment.experiment_id], max_results=500)
    assert sorted(trace.info.trace_id for trace in traces) == sorted(f"tr-{trace_id(n).hex()}" for n in numbers)
    assert {len(trace.data.spans) for trace in traces} == {3}
    names = sorted([*JUDGES, *(f"{judge}.verdict" for judge in JUDGES)])
    assert {tuple(sorted(a.name for a in trace.info.assessments)) for trace in traces} == {tuple(names)}


def test_a_clean_restart(server: Server):
    """SIGTERM while traces are on their way: the next start finishes them."""
    send(server, "clean", range(100, 130))
    assert server.stop() == 0
    server.start()
    send(server, "clean", range(130, 140))
    check(server, "clean", range(100, 140))


def test_a_power_cut(server: Server):
    """SIGKILL of all processes right after the last ack."""
    send(server, "cut", range(200, 230))
    server.crash()
    server.start()
    check(server, "cut", range(200, 230))


def test_a_crash_of_the_work_process_while_receiving(server: Server):
    """The doors stay open while work is restarted; nothing is refused."""
    send(server, "work", range(300, 315))
    pid = server.children()["work"]
    server.kill("work")
    send(server, "work", range(315, 330))
    eventually(lambda: server.children().get("work") not in (None, pid), timeout=30)
    check(server, "work", range(300, 330))


def test_a_crash_of_the_receive_process(server: Server):
    """It is started again within seconds, and what it had acked is there. `/metrics` shows the memory of the new one."""
    send(server, "receive", range(400, 410))
    server.kill("receive")

    def is_open() -> bool:
        return server.send(request([]).SerializeToString()).status_code == 200

    eventually(is_open, timeout=30)
    send(server, "receive", range(410, 420))
    check(server, "receive", range(400, 420))
    assert server.process is not None
    for name, pid in {"supervisor": server.process.pid, **server.children()}.items():
        shown = server.sample("qualitrace_process_memory_bytes", process=name)
        # `work` is shown with its writer, which comes and goes.
        assert shown >= 0.8 * resident(pid) if name == "work" else shown == pytest.approx(resident(pid), rel=0.2)
        assert server.sample("qualitrace_process_cpu_seconds_total", process=name) > 0
        assert server.sample("qualitrace_process_open_fds", process=name) > 3


def test_a_killed_supervisor(server: Server):
    """Its processes end with it, even one that is stopped, so that its successor starts at once on the same folder."""
    send(server, "supervisor", range(500, 510))
    assert server.process is not None
    os.kill(server.children()["work"], signal.SIGSTOP)
    server.process.kill()
    server.process.wait()
    server.start()
    send(server, "supervisor", range(510, 515))
    check(server, "supervisor", range(500, 515))


def test_a_backup_under_load(server: Server):
    """The server is killed when journal and state are copied and MLflow is not; `make backups` is the long form.

    Every trace that was acked before the backup began is whole where it is restored, and judged once.
    """
    load = Load(server.http, server.grpc, seed="backup", threads=2).start()
    eventually(lambda: len(load.acked) > 5)
    target = server.folder / "backup"
    with locked(server.folder / "data" / "mlflow.db"):
        backup = begin("backup", server, "--to", str(target))
        eventually((server.folder / "backup.unfinished" / "state.db").exists)
        load.stop()
        server.crash()
    succeed(backup)
    found = restored(target, server, load.acked)
    assert found.acked > 0
    assert found.is_clean, found
