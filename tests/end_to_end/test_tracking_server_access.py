"""A tracking server that wants credentials, is down for a while, and is not to keep everything."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mlflow import MlflowClient

from support.gate import Gate, gate
from support.mlflow_server import mlflow_server
from support.otlp import rag_trace, request, trace_id
from support.serving import Server
from support.waiting import eventually


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run one tracking server for the module; the tests use numbers of traces of their own."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


def send(server: Server, numbers: range, service: str) -> None:
    for number in numbers:
        spans = rag_trace(number, question="Q?", answer="A.", passages=["P."])
        assert server.send(request(spans, service).SerializeToString()).status_code == 200


def stored(server: Server) -> float:
    return server.sample("qualitrace_traces_total", outcome="stored")


def with_token(door: Gate) -> dict[str, Any]:
    return {"tracking_uri": door.url, "token": "s3cret"}


def with_password(door: Gate) -> dict[str, Any]:
    return {"tracking_uri": door.url.replace("//", "//ann:s3cret@")}


BASIC = "Basic " + base64.b64encode(b"ann:s3cret").decode()


@pytest.mark.parametrize(
    ("authorization", "settings", "first"), [("Bearer s3cret", with_token, 100), (BASIC, with_password, 200)]
)
def test_credentials_open_a_tracking_server(
    serve: Callable[..., Server], upstream: str, authorization: str, settings: Callable[[Gate], Any], first: int
):
    """A token, or a user and password in the URI; while they are refused, or the server is away, traces wait."""
    with gate(upstream, authorization) as door:
        server = serve(mlflow=settings(door), judges=[])
        send(server, range(first, first + 2), "doors")
        eventually(lambda: stored(server) == 2, timeout=60)
        for status in (401, 502):
            door.status = status
            before = stored(server)
            send(server, range(first + status, first + status + 2), "doors")
            eventually(lambda status=status: status in door.refused, timeout=60)
            assert stored(server) == before
            door.status = 0
            eventually(lambda before=before: stored(server) == before + 2, timeout=90)
        assert server.sample("qualitrace_dead_letters") == 0
    found = MlflowClient(upstream).get_trace(f"tr-{trace_id(first + 401).hex()}")
    assert len(found.data.spans) == 3
    assert "s3cret" not in (server.folder / "serve.log").read_text()


def test_retention_counts_what_a_server_keeps(serve: Callable[..., Server], upstream: str):
    """All but the newest traces of the experiment are deleted over HTTP, too."""
    server = serve(mlflow={"tracking_uri": upstream, "retention": {"traces": 2}}, judges=[])
    send(server, range(900, 905), "kept")
    client = MlflowClient(upstream)
    eventually(lambda: stored(server) == 5, timeout=60)
    experiment = client.get_experiment_by_name("kept")
    assert experiment is not None
    server.stop()
    server.start()  # it looks again at once
    eventually(lambda: len(client.search_traces(locations=[experiment.experiment_id])) == 2, timeout=60)
    assert server.sample("qualitrace_traces_deleted_total") >= 3
