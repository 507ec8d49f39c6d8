"""Model URIs beyond OpenAI's and Anthropic's: what goes over the wire for each, with the wire cut at loopback."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from mlflow.gateway.exceptions import AIGatewayException
from mlflow.gateway.providers import bedrock

from qualitrace_collector.config.quality import JudgeConfig
from qualitrace_collector.samples import Sample
from qualitrace_monitors.judges import JudgeError, Score, TransientJudgeError, build_judges

VERDICT = json.dumps({"evidence": "e", "reason": "r", "score": 0.9, "verdict": "pass"})
COMPLETION = {
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": VERDICT}}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
}


class Wire:
    """A server that keeps what it was asked and answers every POST with `status` and a chat completion."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any], str]] = []
        self.status = 200
        wire = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                wire.requests.append((self.path, body, self.headers.get("authorization", "")))
                completion = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", **COMPLETION}
                payload = json.dumps(completion).encode()
                self.send_response(wire.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def wire() -> Iterator[Wire]:
    opened = Wire()
    yield opened
    opened.server.shutdown()
    opened.server.server_close()


def judged(model: str, **settings: Any) -> Score:
    (judge,) = build_judges([JudgeConfig(name="toxicity", model=model, **settings)])
    return judge.score(Sample(outputs="Hello."))


def test_databricks_foundation_models(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """`databricks:/` asks the workspace of the environment with its token."""
    monkeypatch.setenv("DATABRICKS_HOST", wire.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-1")
    score = judged("databricks:/databricks-claude")
    ((path, body, authorization),) = wire.requests
    assert (score.label, score.input_tokens, score.output_tokens) == ("pass", 12, 3)
    assert "chat/completions" in path
    assert body["model"] == "databricks-claude"
    assert authorization == "Bearer dapi-1"


def test_gateway_endpoints(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gateway:/` asks the endpoint of the MLflow server that the tracking URI names."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", wire.url)
    assert judged("gateway:/my-endpoint").label == "pass"
    ((path, body, _),) = wire.requests
    assert path.startswith("/gateway/")
    assert "my-endpoint" in path + json.dumps(body)


def test_deployment_endpoints(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """`endpoints:/` asks MLflow's deployments target, whose failures are worth another try and refusals are not."""
    monkeypatch.setenv("MLFLOW_DEPLOYMENTS_TARGET", wire.url)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_DEPLOYMENT_CLIENT_HTTP_REQUEST_MAX_RETRIES", "0")
    assert judged("endpoints:/mine").input_tokens == 12
    assert "mine" in wire.requests[0][0]
    wire.status = 400
    with pytest.raises(JudgeError, match="endpoints") as refused:
        judged("endpoints:/mine")
    assert not isinstance(refused.value, TransientJudgeError)


@pytest.fixture
def converse(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Stand in for Bedrock's Converse API behind MLflow's own provider; gives the requests."""
    asked: list[dict[str, Any]] = []

    async def send(headers: Any, base_url: str, path: str, payload: Any) -> Any:
        asked.append({"headers": headers, "url": f"{base_url}/{path}", "payload": payload})
        return {
            "output": {"message": {"role": "assistant", "content": [{"text": VERDICT}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 12, "outputTokens": 3, "totalTokens": 15},
        }

    monkeypatch.setattr(bedrock, "send_request", send)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "token-1")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    return asked


def test_bedrock_models(converse: list[dict[str, Any]]) -> None:
    """`bedrock:/` speaks Converse in the configured region, with the temperature."""
    score = judged("bedrock:/anthropic.claude-v9")
    assert (score.label, score.input_tokens, score.output_tokens) == ("pass", 12, 3)
    assert converse[0]["url"] == "https://bedrock-runtime.eu-west-1.amazonaws.com/model/anthropic.claude-v9/converse"
    assert converse[0]["headers"] == {"Authorization": "Bearer token-1"}
    assert converse[0]["payload"]["inferenceConfig"]["temperature"] == 0.0


@pytest.mark.parametrize(("status", "transient"), [(429, True), (503, True), (403, False)])
def test_bedrocks_errors(
    converse: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, status: int, transient: bool
) -> None:
    """Throttling and failures are worth another try, refusals are not."""

    async def fail(**_: Any) -> Any:
        raise AIGatewayException(status_code=status, detail="no")

    monkeypatch.setattr(bedrock, "send_request", fail)
    with pytest.raises(JudgeError, match=f"bedrock: HTTP {status}") as caught:
        judged("bedrock:/anthropic.claude-v9")
    assert isinstance(caught.value, TransientJudgeError) == transient
