"""A restart in the middle, gentle or not, loses nothing and doubles nothing."""

from collections.abc import Callable

import pytest
from mlflow import MlflowClient

from support.otlp import rag_trace, request, trace_id
from support.serving import Server
from support.waiting import eventually

JUDGES = ("relevance", "groundedness")


def send(server: Server, numbers: range) -> None:
    """Send one trace a request; each must be acked."""
    for number in numbers:
        spans = rag_trace(number, question="How long?", answer="24 months.", passages=["It lasts 24 months."])
        assert server.send(request(spans).SerializeToString()).status_code == 200


def check(server: Server, count: int) -> None:
    """Every acked trace is in MLflow once and whole, and each judge scored it once."""
    eventually(
        lambda: server.sample("qualitrace_judgements_total", outcome="scored") == count * len(JUDGES), timeout=90
    )
    assert server.sample("qualitrace_traces_total", outcome="stored") == count
    client = MlflowClient(server.tracking_uri)
    experiment = client.get_experiment_by_name("shop")
    traces = client.search_traces([experiment.experiment_id], max_results=500)
    assert {trace.info.trace_id for trace in traces} == {f"tr-{trace_id(n).hex()}" for n in range(1, count + 1)}
    assert {len(trace.data.spans) for trace in traces} == {3}
    assert {tuple(sorted(a.name for a in trace.info.assessments)) for trace in traces} == {tuple(sorted(JUDGES))}


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    return serve(judges=list(JUDGES))


def test_a_clean_restart(server: Server):
    """SIGTERM while traces are on their way: the next start finishes them."""
    send(server, range(1, 31))
    assert server.stop() == 0
    server.start()
    send(server, range(31, 41))
    check(server, 40)


def test_a_power_cut(server: Server):
    """SIGKILL of all processes right after the last ack."""
    send(server, range(1, 31))
    server.crash()
    server.start()
    check(server, 30)


def test_a_crash_of_the_work_process_while_receiving(server: Server):
    """The doors stay open while work is restarted; nothing is refused."""
    send(server, range(1, 16))
    pid = server.children()["work"]
    server.kill("work")
    send(server, range(16, 31))
    eventually(lambda: server.children().get("work") not in (None, pid), timeout=30)
    check(server, 30)


def test_a_crash_of_the_receive_process(server: Server):
    """It is started again within seconds, and what it had acked is there."""
    send(server, range(1, 11))
    server.kill("receive")

    def is_open() -> bool:
        return server.send(request([]).SerializeToString()).status_code == 200

    eventually(is_open, timeout=30)
    send(server, range(11, 21))
    check(server, 20)
