"""Traces and assessments into an MLflow tracking server over HTTP, scored by LLM judges."""

from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient

from support.judge_model import MARKER, judge_model
from support.mlflow_server import mlflow_server
from support.otlp import rag_trace, request, trace_id
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
