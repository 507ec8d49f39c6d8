"""App → tracer → collector → MLflow → judges → Prometheus → webhook, everything real but the LLM provider."""

import base64
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from standardwebhooks import Webhook

from qualitrace_monitors.demo.llm import model_app
from qualitrace_monitors.web.server import WebServer
from support.prometheus import ask, prometheus
from support.serving import QUALITRACE, Server, environment
from support.waiting import eventually
from support.webhooks import WebhookReceiver

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()

APP = textwrap.dedent(
    """
    import sys
    import qualitrace
    from openai import OpenAI

    model = OpenAI()

    @qualitrace.trace(kind="retriever")
    def search(question):
        return [sys.argv[1]]

    @qualitrace.trace
    def answer(question):
        passages = search(question)
        stream = model.chat.completions.create(
            model="house-model",
            stream=True,
            stream_options={"include_usage": True},
            messages=[
                {"role": "system", "content": "Use these passages:\\n\\n" + "\\n\\n".join(passages)},
                {"role": "user", "content": question},
            ],
        )
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)

    for number in range(int(sys.argv[2])):
        with qualitrace.session(f"session-{number}", user="ada"):
            print(answer("How many months does the warranty of a tent last?"))
    """
)
RIGHT = "The warranty of a tent lasts 24 months from the day of purchase."
WRONG = "Parking behind the shop is free for customers on Sundays."


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """Serve an OpenAI-compatible model that answers from its prompt, or makes something up."""
    with WebServer(model_app()) as server:
        yield server.url


@pytest.fixture
def run_app(tmp_path: Path, provider: str) -> Callable[[Server, str, int], str]:
    """Run the app under `qualitrace run` in its own process; gives what it printed."""
    (tmp_path / "app.py").write_text(APP)

    def run(server: Server, passage: str, times: int) -> str:
        command = [*QUALITRACE, "run", "--service-name", "tents", sys.executable, "app.py", passage, str(times)]
        base_url = provider if provider.rstrip("/").endswith("/v1") else f"{provider}/v1"
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment(QUALITRACE_ENDPOINT=server.endpoint, OPENAI_BASE_URL=base_url, OPENAI_API_KEY="none"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def traces_of(server: Server, service: str) -> list[Any]:
    client = MlflowClient(server.tracking_uri)
    experiment = client.get_experiment_by_name(service)
    return client.search_traces([experiment.experiment_id]) if experiment else []


def alerts_at(receiver: WebhookReceiver, name: str) -> list[dict[str, Any]]:
    """Return the alerts that arrived under a good signature."""
    payloads = [Webhook(SECRET).verify(body, headers) for headers, body in receiver.received]
    assert all(payload["version"] == "4" for payload in payloads)
    return [alert for payload in payloads for alert in payload["alerts"] if alert["labels"]["alertname"] == name]


def test_a_fall_of_quality_is_seen_in_mlflow_prometheus_and_at_the_webhook(
    serve: Callable[..., Server],
    run_app: Callable[[Server, str, int], str],
    webhook_receiver: WebhookReceiver,
    tmp_path: Path,
):
    """Good answers pass; wrong passages make groundedness fall, which fires; right ones again resolve it."""
    rule = {"name": "ungrounded", "judge": "groundedness", "when": "pass_rate < 0.8", "session_silence": "1s"}
    server = serve(
        alerts=[rule | {"for": "1s", "notify": ["ops"]}],
        notify={"ops": {"url": webhook_receiver.url, "secret": SECRET}},
        heartbeat={"interval": "5s", "notify": ["ops"]},
    )
    assert "24" in run_app(server, RIGHT, 3)
    eventually(lambda: server.sample("qualitrace_evaluations_total", judge="groundedness", result="pass") == 3)
    assert server.sample("qualitrace_tokens_total", service="tents", type="output") > 0

    traces = traces_of(server, "tents")
    assert len(traces) == 3
    assert {trace.info.trace_metadata["mlflow.trace.session"] for trace in traces} == {f"session-{n}" for n in range(3)}
    spans = {span.span_type: span for span in traces[0].data.spans}
    assert spans["RETRIEVER"].outputs[0]["page_content"] == RIGHT
    assert RIGHT in json.dumps(spans["CHAT_MODEL"].inputs)
    judged = {item.name: item for item in traces[0].info.assessments}
    judges = {"relevance", "faithfulness", "groundedness", "safety", "toxicity"}
    assert set(judged) == judges | {f"{judge}.verdict" for judge in judges}
    assert judged["groundedness.verdict"].value == "pass"
    assert judged["groundedness"].metadata["qualitrace.passages_source"] == "retriever"

    with prometheus(server.web, tmp_path) as api:
        query = 'qualitrace_evaluations_total{judge="groundedness",result="pass"}'
        eventually(lambda: (ask(f"{api}/query", query=query) or {}).get("result"))
        exemplars = eventually(lambda: ask(f"{api}/query_exemplars", query=query, start="0", end="4000000000"))
        ids = {item["labels"]["trace_id"] for series in exemplars for item in series["exemplars"]}
        assert ids <= {trace.info.trace_id.removeprefix("tr-") for trace in traces}

    run_app(server, WRONG, 25)
    eventually(lambda: [a["status"] for a in alerts_at(webhook_receiver, "ungrounded")] == ["firing"], timeout=90)
    assert server.sample("qualitrace_alert_state", alert="ungrounded", state="firing") == 1
    run_app(server, RIGHT, 50)

    def is_resolved() -> bool:
        statuses = [alert["status"] for alert in alerts_at(webhook_receiver, "ungrounded")]
        return statuses == ["firing", "resolved"]

    eventually(is_resolved, timeout=90)
    (first, last) = alerts_at(webhook_receiver, "ungrounded")
    assert first["fingerprint"] == last["fingerprint"]
    assert first["labels"]["service"] == "tents"
    assert alerts_at(webhook_receiver, "QualitraceHeartbeat")


def test_an_app_whose_collector_is_dead_works_as_if_untraced(
    tmp_path: Path, run_app: Callable[[Server, str, int], str]
):
    """Nothing listens at the endpoint: the answers come, the exit code is 0, and nothing is raised."""
    assert "24" in run_app(Server(tmp_path), RIGHT, 2)
