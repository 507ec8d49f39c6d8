"""Traces and assessments into an MLflow tracking server over HTTP, behind credentials too, scored by LLM judges."""

import base64
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import TraceState

from qualitrace_collector.journal import JournalEntry
from qualitrace_collector.mlflow_store.store import TraceStore
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.pipeline import batch
from support.gate import gate
from support.judge_model import MARKER, judge_model
from support.mlflow_server import mlflow_server
from support.otlp import REMOTE_PARENT, chat_span, rag_trace, request, span, trace_id
from support.pipeline import Collector, rag
from support.rough_proxy import ANSWERS, BROKEN, rough_proxy
from support.serving import Server
from support.waiting import eventually


@pytest.fixture(scope="module")
def upstream_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide the folder of the tracking server, with its database."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="module")
def upstream(upstream_folder: Path) -> Iterator[str]:
    """Run one tracking server for the module; the tests use numbers of traces of their own."""
    with mlflow_server(upstream_folder) as url:
        yield url


@pytest.fixture(scope="module")
def judging(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, list[dict[str, Any]]]]:
    """Run a server on it with a built-in metric and a custom one, by model URI and base_url; gives the model's requests."""
    with judge_model() as (base_url, requests):
        model = {"model": "openai:/judge-1", "base_url": base_url, "api_key": "none"}
        instructions = "Does {{ outputs }} fit {{ inputs }} and {{ context }}?"
        server = Server(
            tmp_path_factory.mktemp("judging"),
            mlflow={"tracking_uri": upstream},
            judges=[{"name": "groundedness"} | model, {"name": "no_fruit", "instructions": instructions} | model],
        )
        try:
            yield server.start(), requests
        finally:
            assert server.stop() == 0


def test_traces_and_llm_verdicts_arrive_at_a_tracking_server(
    judging: tuple[Server, list[dict[str, Any]]], upstream: str
):
    """By `http://…` as the tracking URI."""
    server, requests = judging
    answers = {1: "24 months.", 2: f"A {MARKER} a day."}
    for number, answer in answers.items():
        spans = rag_trace(number, question="How long?", answer=answer, passages=["It lasts 24 months."])
        server.send(request(spans).SerializeToString())
    eventually(lambda: server.sample("qualitrace_judgements_total", outcome="scored") == 4, timeout=60)

    client = MlflowClient(upstream)
    good, bad = (client.get_trace(f"tr-{trace_id(number).hex()}") for number in answers)
    assert client.get_experiment(good.info.experiment_id).name == "shop"
    assert len(good.data.spans) == 3
    for trace, value, label in ((good, 1.0, "pass"), (bad, 0.0, "fail")):
        verdicts = {item.name: item for item in trace.info.assessments}
        assert {verdicts.pop(f"{judge}.verdict").value for judge in ("groundedness", "no_fruit")} == {label}
        assert set(verdicts) == {"groundedness", "no_fruit"}
        assert {item.value for item in verdicts.values()} == {value}
        assert {item.source.source_type for item in verdicts.values()} == {"LLM_JUDGE"}
        assert {item.source.source_id for item in verdicts.values()} == {"openai:/judge-1"}
        assert {item.metadata["qualitrace.label"] for item in verdicts.values()} == {label}
    assert {body["temperature"] for body in requests} == {0.0}
    labels = {"judge": "no_fruit", "model": "openai:/judge-1"}
    assert server.sample("qualitrace_judge_tokens_total", type="input", **labels) == 200
    assert server.sample("qualitrace_judge_tokens_total", type="output", **labels) == 40


def test_a_tracking_server_that_cannot_write_is_found_out(
    judging: tuple[Server, list[dict[str, Any]]], upstream_folder: Path
):
    """It answers what it is asked, but its database takes nothing; no trace has to come for that to be seen."""
    server, _ = judging
    before = stored(server)
    send(server, range(600, 601), "read-only")
    eventually(lambda: stored(server) == before + 1, timeout=60)
    eventually(lambda: server.sample("qualitrace_up", component="mlflow") == 1)
    kinds = ("INSERT", "UPDATE")
    with sqlite3.connect(upstream_folder / "mlflow.db", timeout=60) as database:
        refuse = "BEFORE {} ON experiment_tags BEGIN SELECT RAISE(ABORT, 'read-only'); END"
        for kind in kinds:
            database.execute(f"CREATE TRIGGER no_{kind} {refuse.format(kind)}")
    try:
        eventually(lambda: server.sample("qualitrace_up", component="mlflow") == 0, timeout=60)
    finally:
        with sqlite3.connect(upstream_folder / "mlflow.db", timeout=60) as database:
            for kind in kinds:
                database.execute(f"DROP TRIGGER no_{kind}")


def test_a_trace_that_began_elsewhere_is_shown_whole_at_a_tracking_server(upstream: str, tmp_path: Path):
    """As in a database: with the state, previews and duration of its local root, then of its caller, and all tokens."""
    collector = Collector(tmp_path, {"judges": []})
    collector.store = TraceStore(upstream, "", "{service.name}")
    collector.restart()
    client = MlflowClient(upstream)
    service = span(11, 2, 1, name="POST /ask", flags=REMOTE_PARENT, seconds=2, output__value="Here: A.")
    collector.send([service, chat_span(11, 3, 2, question="Q?", answer="A.")])
    collector.run(5)
    info = client.get_trace(f"tr-{trace_id(11).hex()}").info
    assert (info.state, info.request_preview, info.response_preview) == (TraceState.OK, '"Q?"', '"Here: A."')
    assert info.execution_duration == 2000
    assert info.tags["service.name"] == "shop"

    collector.send([span(11, 1, seconds=9, name="GET /", error="timeout", input__value="Asked")], "gateway")
    collector.run(5)
    collector.send([chat_span(11, 9, 2, question="More?", answer="Yes.", seconds=12, flags=REMOTE_PARENT)])
    collector.run(5)
    trace = client.get_trace(f"tr-{trace_id(11).hex()}")
    assert (trace.info.state, trace.info.request_preview) == (TraceState.ERROR, '"Asked"')
    assert trace.info.execution_duration == 12_000
    assert trace.info.token_usage == {"input_tokens": 28, "output_tokens": 16, "total_tokens": 44}
    assert {item.span_id[-1]: (item.parent_id or "-")[-1] for item in trace.data.spans} == {
        "1": "-", "2": "1", "3": "2", "9": "2"
    }  # fmt: skip

    collector.send([chat_span(12, 3, 2, question="Q?", answer="A.")])
    collector.run(155)
    assert client.get_trace(f"tr-{trace_id(12).hex()}").info.state == TraceState.OK


def send(server: Server, numbers: range, service: str) -> None:
    for number in numbers:
        spans = rag_trace(number, question="Q?", answer="A.", passages=["P."])
        assert server.send(request(spans, service).SerializeToString()).status_code == 200


def stored(server: Server) -> float:
    return server.sample("qualitrace_traces_total", outcome="stored")


def test_a_token_opens_a_tracking_server(serve: Callable[..., Server], upstream: str):
    """While it is refused, or the server is away, traces wait."""
    with gate(upstream, "Bearer s3cret") as door:
        server = serve(mlflow={"tracking_uri": door.url, "token": "s3cret"}, judges=[])
        send(server, range(100, 102), "doors")
        eventually(lambda: stored(server) == 2, timeout=60)
        for status in (401, 502):
            door.status = status
            before = stored(server)
            send(server, range(100 + status, 102 + status), "doors")
            eventually(lambda status=status: status in door.refused, timeout=60)
            assert stored(server) == before
            door.status = 0
            eventually(lambda before=before: stored(server) == before + 2, timeout=90)
        assert server.sample("qualitrace_dead_letters") == 0
    found = MlflowClient(upstream).get_trace(f"tr-{trace_id(501).hex()}")
    assert len(found.data.spans) == 3
    assert "s3cret" not in (server.folder / "serve.log").read_text()


@pytest.mark.timeout(300)
def test_nothing_is_lost_behind_a_proxy_that_answers_anything(
    upstream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Login pages, refusals, resets, cut and late answers to two in five requests: all is stored once, none given up."""
    monkeypatch.setattr(batch, "BATCH_SPANS", 60)  # for more requests
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    whole, children = range(2000, 2200), range(2200, 2210)
    traces = {f"tr-{trace_id(number).hex()}": number for number in (*whole, *children)}
    with rough_proxy(upstream, seed=10, share=0.4, hang=2.5) as proxy:
        collector = Collector(tmp_path, {"judges": []})
        collector.store = TraceStore(proxy.url, "", "{service.name}")
        collector.restart()
        proxy.faults = (*ANSWERS, *BROKEN)
        for number in whole:
            collector.send(rag(number), "rough")
        for number in children:
            collector.send([chat_span(number, 3, 2, question="Q?", answer="A.", flags=REMOTE_PARENT)], "rough")
        eventually(lambda: _settles(collector, len(traces)), timeout=150, interval=0)
        for number in (*whole[:6], *children[:4]):
            collector.send([chat_span(number, 9, 1, question="More?", answer="Yes.")], "rough")
            feedback = PersonFeedback(trace_id=trace_id(number).hex(), name="thumb", value=True, id=str(number))
            payload = feedback.model_dump_json().encode()
            collector.journal.append([JournalEntry(signal="feedback", payload=payload, received_at=collector.now)])
        written = 'qualitrace_feedback_total{outcome="stored",source="user"} 10.0'
        eventually(lambda: _settles(collector, len(traces)) and written in collector.metrics(), 60, interval=0)
    assert proxy.done.total() > 50
    assert collector.totals() == {("", "stored"): len(traces)}

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    client = MlflowClient(upstream)
    experiment = client.get_experiment_by_name("rough")
    assert experiment is not None
    found = client.search_traces(locations=[experiment.experiment_id], max_results=500)
    assert {trace.info.trace_id for trace in found} == traces.keys()
    assert len(found) == len(traces)
    assert {trace.info.state for trace in found} == {TraceState.OK}
    late = {*whole[:6], *children[:4]}
    for trace in found:
        number = traces[trace.info.trace_id]
        wanted = (3 if number in whole else 1) + (number in late)
        assert len({span.span_id for span in trace.data.spans}) == len(trace.data.spans) == wanted
        assert len(trace.info.assessments) == (number in late)


@pytest.mark.parametrize(("fault", "first"), [("403", 3000), ("reset", 3300)])
def test_a_trace_that_a_proxy_does_not_let_through_holds_up_nothing(
    upstream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, first: int
):
    """The traces behind it are stored at once; it is given up after ten more tries, within minutes."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with rough_proxy(upstream) as proxy:
        collector = Collector(tmp_path, {"judges": []})
        collector.store = TraceStore(proxy.url, "", "{service.name}")
        collector.restart()
        proxy.faults, proxy.blocks = (fault,), (b"DROP TABLE",)
        collector.send(rag(first, question="DROP TABLE?"), "firewall")
        collector.run(3)
        for number in range(first + 1, first + 6):
            collector.send(rag(number), "firewall")
        collector.run(5)
        assert collector.totals() == {("", "stored"): 5}
        collector.run(100)
        assert collector.totals() == {("", "stored"): 5}, "it may be a hiccup"
        collector.run(150)
        assert collector.totals() == {("", "stored"): 5, ("", "dead_lettered"): 1}
    assert collector.journal.pending()[0] == 0


def test_what_a_proxy_refuses_for_all_traces_is_an_outage(
    upstream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """However long, and although MLflow answers other questions; then all are stored."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    numbers = range(3400, 3410)
    with rough_proxy(upstream) as proxy:
        collector = Collector(tmp_path, {"judges": []})
        collector.store = TraceStore(proxy.url, "", "{service.name}")
        collector.restart()
        collector.send(rag(3399), "outage")
        collector.run(5)
        proxy.faults, proxy.blocks = ("403",), (b"POST /ask",)
        for number in numbers:
            collector.send(rag(number), "outage")
            collector.run(1)
        collector.run(300)
        assert collector.totals() == {("", "stored"): 1}
        proxy.faults = ()
        collector.run(60)
    assert collector.totals() == {("", "stored"): 11}


def _settles(collector: Collector, stored: int) -> bool:
    """Go on; return whether nothing is left to do."""
    collector.run(1)
    return collector.journal.pending()[0] == 0 and collector.totals() == {("", "stored"): stored}


def test_retention_counts_what_a_server_behind_a_password_keeps(
    serve: Callable[..., Server], upstream: str, tmp_path: Path
):
    """All but the newest traces of the experiment are deleted over HTTP, too, with user and password of the URI."""
    collector = Collector(tmp_path, {"judges": []})
    collector.store = TraceStore(upstream, "", "{service.name}")
    collector.restart()
    for number in range(900, 905):
        collector.send(rag(number), "kept")
    collector.run(5)
    client = MlflowClient(upstream)
    experiment = client.get_experiment_by_name("kept")
    assert experiment is not None
    assert len(client.search_traces(locations=[experiment.experiment_id])) == 5
    with gate(upstream, "Basic " + base64.b64encode(b"ann:s3cret").decode()) as door:
        uri = door.url.replace("//", "//ann:s3cret@")
        server = serve(mlflow={"tracking_uri": uri, "retention": {"traces": 2}}, judges=[])  # it looks at once
        eventually(lambda: len(client.search_traces(locations=[experiment.experiment_id])) == 2, timeout=60)
        eventually(lambda: server.sample("qualitrace_traces_deleted_total") >= 3)
        assert server.stop() == 0
    assert "s3cret" not in (server.folder / "serve.log").read_text()
