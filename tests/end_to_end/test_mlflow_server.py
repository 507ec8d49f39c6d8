"""Traces and assessments into an MLflow tracking server over HTTP, scored by LLM judges."""

from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import TraceState

from qualitrace_collector.mlflow_store.store import TraceStore
from support.judge_model import MARKER, judge_model
from support.mlflow_server import mlflow_server
from support.otlp import REMOTE_PARENT, chat_span, rag_trace, request, span, trace_id
from support.pipeline import Collector
from support.serving import Server
from support.waiting import eventually


def test_traces_and_llm_verdicts_arrive_at_a_tracking_server(serve: Callable[..., Server], tmp_path: Path):
    """By `http://…` as the tracking URI; a built-in metric and a custom one are judged by model URI and base_url."""
    with mlflow_server(tmp_path) as tracking_uri, judge_model() as (base_url, requests):
        model = {"model": "openai:/judge-1", "base_url": base_url, "api_key": "none"}
        instructions = "Does {{ outputs }} fit {{ inputs }} and {{ context }}?"
        server = serve(
            mlflow={"tracking_uri": tracking_uri},
            judges=[{"name": "groundedness"} | model, {"name": "no_fruit", "instructions": instructions} | model],
        )
        answers = {1: "24 months.", 2: f"A {MARKER} a day."}
        for number, answer in answers.items():
            spans = rag_trace(number, question="How long?", answer=answer, passages=["It lasts 24 months."])
            server.send(request(spans).SerializeToString())
        eventually(lambda: server.sample("qualitrace_judgements_total", outcome="scored") == 4, timeout=60)

        client = MlflowClient(tracking_uri)
        good, bad = (client.get_trace(f"tr-{trace_id(number).hex()}") for number in answers)
        assert client.get_experiment(good.info.experiment_id).name == "shop"
        assert len(good.data.spans) == 3
        for trace, value, label in ((good, 1.0, "pass"), (bad, 0.0, "fail")):
            verdicts = {item.name: item for item in trace.info.assessments}
            assert set(verdicts) == {"groundedness", "no_fruit"}
            assert {item.value for item in verdicts.values()} == {value}
            assert {item.source.source_type for item in verdicts.values()} == {"LLM_JUDGE"}
            assert {item.source.source_id for item in verdicts.values()} == {"openai:/judge-1"}
            assert {item.metadata["qualitrace.label"] for item in verdicts.values()} == {label}
        assert {body["temperature"] for body in requests} == {0.0}
        assert server.sample("qualitrace_judge_tokens_total", judge="no_fruit") == 240
        assert server.stop() == 0


def test_a_trace_that_began_elsewhere_is_shown_whole_at_a_tracking_server(tmp_path: Path):
    """As in a database: with the state, previews and duration of its local root, then of its caller, and all tokens."""
    with mlflow_server(tmp_path) as tracking_uri:
        (tmp_path / "collector").mkdir()
        collector = Collector(tmp_path / "collector", {"judges": []})
        collector.store = TraceStore(tracking_uri, "", "{service.name}")
        collector.restart()
        client = MlflowClient(tracking_uri)
        service = span(1, 2, 1, name="POST /ask", flags=REMOTE_PARENT, seconds=2, output__value="Here: A.")
        collector.send([service, chat_span(1, 3, 2, question="Q?", answer="A.")])
        collector.run(5)
        info = client.get_trace(f"tr-{trace_id(1).hex()}").info
        assert (info.state, info.request_preview, info.response_preview) == (TraceState.OK, '"Q?"', '"Here: A."')
        assert info.execution_duration == 2000
        assert info.tags["service.name"] == "shop"

        collector.send([span(1, 1, seconds=9, name="GET /", error="timeout", input__value="Asked")], "gateway")
        collector.run(5)
        collector.send([chat_span(1, 9, 2, question="More?", answer="Yes.", seconds=12, flags=REMOTE_PARENT)])
        collector.run(5)
        trace = client.get_trace(f"tr-{trace_id(1).hex()}")
        assert (trace.info.state, trace.info.request_preview) == (TraceState.ERROR, '"Asked"')
        assert trace.info.execution_duration == 12_000
        assert trace.info.token_usage == {"input_tokens": 28, "output_tokens": 16, "total_tokens": 44}
        assert {item.span_id[-1]: (item.parent_id or "-")[-1] for item in trace.data.spans} == {
            "1": "-", "2": "1", "3": "2", "9": "2"
        }  # fmt: skip

        collector.send([chat_span(2, 3, 2, question="Q?", answer="A.")])
        collector.run(155)
        assert client.get_trace(f"tr-{trace_id(2).hex()}").info.state == TraceState.OK
