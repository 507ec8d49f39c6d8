"""Model URIs beyond OpenAI's and Anthropic's: what goes over the wire for each, with the wire cut at loopback."""

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.build import build_judge
from qualitrace_monitors.judges.contract import JudgeError, Score, TransientJudgeError
from qualitrace_monitors.judges.llm.bedrock import BedrockRoute
from qualitrace_monitors.judges.settings import JudgeConfig

VERDICT = json.dumps({"evidence": "e", "reason": "r", "score": 0.9, "verdict": "pass"})
COMPLETION = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": VERDICT}}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
}
CONVERSED = {
    "output": {"message": {"role": "assistant", "content": [{"text": VERDICT}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 12, "outputTokens": 3, "totalTokens": 15},
}


@dataclass
class Asked:
    """A request as it came over the wire."""

    path: str
    content: bytes
    headers: dict[str, str]

    @property
    def body(self) -> Any:
        return json.loads(self.content)


class Wire:
    """A server that keeps what it was asked and answers every POST alike, or not before `released`."""

    def __init__(self) -> None:
        self.requests: list[Asked] = []
        self.status, self.headers, self.answer = 200, dict[str, str](), COMPLETION
        self.released = threading.Event()
        self.released.set()
        wire = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                wire.requests.append(Asked(self.path, content, headers))
                wire.released.wait(60)
                payload = json.dumps(wire.answer).encode()
                self.send_response(wire.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(payload)))
                for name, value in wire.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):  # who asked is gone
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
    judge = build_judge(JudgeConfig(name="toxicity", model=model, **settings))
    return judge.score(Sample(outputs="Hello."))


def test_databricks_foundation_models(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """`databricks:/` asks the workspace of the environment with its token."""
    monkeypatch.setenv("DATABRICKS_HOST", wire.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-1")
    score = judged("databricks:/databricks-claude")
    (asked,) = wire.requests
    assert (score.label, score.input_tokens, score.output_tokens) == ("pass", 12, 3)
    assert "chat/completions" in asked.path
    assert asked.body["model"] == "databricks-claude"
    assert asked.headers["authorization"] == "Bearer dapi-1"


def test_gateway_endpoints(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gateway:/` asks the endpoint of the MLflow server that the tracking URI names."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", wire.url)
    assert judged("gateway:/my-endpoint").label == "pass"
    (asked,) = wire.requests
    assert asked.path.startswith("/gateway/")
    assert "my-endpoint" in asked.path + json.dumps(asked.body)


@pytest.mark.parametrize(
    ("known", "authorization"),
    [
        ({}, None),
        ({"MLFLOW_TRACKING_TOKEN": "t-1"}, "Bearer t-1"),
        ({"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p"}, "Basic dTpw"),
    ],
)
def test_deployment_endpoints(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, known: dict[str, str], authorization: str | None
) -> None:
    """`endpoints:/` asks MLflow's deployments target as its client does: path, chat form, credentials."""
    monkeypatch.setenv("MLFLOW_DEPLOYMENTS_TARGET", wire.url + "/")
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    score = judged("endpoints:/mine")
    (asked,) = wire.requests
    assert (score.label, score.input_tokens, score.output_tokens) == ("pass", 12, 3)
    assert asked.path == "/endpoints/mine/invocations"
    assert asked.body["messages"][0]["role"] == "system"
    assert asked.headers.get("authorization") == authorization


def test_deployment_endpoints_of_databricks(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the target `databricks` it is a serving endpoint of the workspace."""
    monkeypatch.setenv("MLFLOW_DEPLOYMENTS_TARGET", "databricks")
    monkeypatch.setenv("DATABRICKS_HOST", wire.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-1")
    assert judged("endpoints:/mine").label == "pass"
    (asked,) = wire.requests
    assert asked.path == "/serving-endpoints/mine/invocations"
    assert asked.headers["authorization"] == "Bearer dapi-1"


@pytest.mark.parametrize(
    ("target", "settings", "wanted"),
    [
        ("", {}, "MLFLOW_DEPLOYMENTS_TARGET"),
        ("http://127.0.0.1:9", {"api_key": "k"}, "takes no base_url or api_key: set MLFLOW_DEPLOYMENTS_TARGET"),
        ("sagemaker:/eu-west-1", {}, "cannot ask sagemaker:"),
    ],
)
def test_a_target_that_cannot_be_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, target: str, settings: dict[str, str], wanted: str
) -> None:
    """`endpoints:/` without a deployments target, or with one that holds no chat models, is not a matter of patience."""
    monkeypatch.setenv("MLFLOW_DEPLOYMENTS_TARGET", target)
    with pytest.raises(JudgeError, match=wanted) as caught:
        judged("endpoints:/mine", **settings)
    assert not isinstance(caught.value, TransientJudgeError)


@pytest.fixture(params=["endpoints:/mine", "bedrock:/m"])
def route(request: pytest.FixtureRequest, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Give the settings of a judge that asks the wire by a route that is not a plain provider of MLflow's."""
    monkeypatch.setenv("MLFLOW_DEPLOYMENTS_TARGET", wire.url)
    if request.param == "endpoints:/mine":
        return {"model": request.param}
    return {"model": request.param, "base_url": wire.url, "api_key": "key-1"}


@pytest.mark.parametrize(
    ("status", "retry_after", "asked"),
    [(429, {"Retry-After": "17"}, 17), (503, {"Retry-After": "0.5"}, 0.5), (429, {}, None), (403, {}, "final")],
)
def test_refusals_tell_when_to_come_back(
    wire: Wire, route: dict[str, Any], status: int, retry_after: dict[str, str], asked: object
) -> None:
    """Throttling and failures are worth another try, at the time that the provider says; refusals are not."""
    wire.status, wire.headers = status, retry_after
    with pytest.raises(JudgeError, match=f"HTTP {status}") as caught:
        judged(**route)
    assert (caught.value.retry_after if isinstance(caught.value, TransientJudgeError) else "final") == asked
    assert len(wire.requests) == 1


def test_a_call_ends_at_the_judges_timeout(wire: Wire, route: dict[str, Any]) -> None:
    """A provider that does not answer is let go of after `timeout`, and worth another try."""
    wire.released.clear()
    try:
        with pytest.raises(TransientJudgeError, match="Timeout"):
            judged(**route, timeout=0.3)
    finally:
        wire.released.set()


@pytest.fixture
def converse(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Answer as Bedrock's Converse does, in a world without AWS credentials."""
    wire.answer = CONVERSED
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    return wire


def test_bedrock_by_its_key(converse: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """`bedrock:/` speaks Converse with the bearer token: system prompt apart, texts in parts, the temperature."""
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "token-1")
    score = judged("bedrock:/anthropic.claude-v9:0", base_url=converse.url)
    (asked,) = converse.requests
    assert (score.label, score.input_tokens, score.output_tokens) == ("pass", 12, 3)
    assert asked.path == "/model/anthropic.claude-v9%3A0/converse"
    assert asked.headers["authorization"] == "Bearer token-1"
    assert "material to judge" in asked.body["system"][0]["text"]
    ((role, (content,)),) = [(message["role"], message["content"]) for message in asked.body["messages"]]
    assert (role, "Hello." in content["text"]) == ("user", True)
    assert asked.body["inferenceConfig"] == {"temperature": 0.0}


@pytest.mark.parametrize("provider", ["bedrock", "amazon-bedrock"])
def test_bedrocks_models_have_their_price(converse: Wire, provider: str) -> None:
    """By both names that MLflow has for it: without a price no budget in dollars would hold."""
    model = "anthropic.claude-3-haiku-20240307-v1:0"
    score = judged(f"{provider}:/{model}", base_url=converse.url, api_key="key-1")
    assert score.cost_usd == pytest.approx(12 * 0.25e-6 + 3 * 1.25e-6)


def test_bedrocks_public_address_is_the_regions(converse: Wire) -> None:
    """Without `base_url` the endpoint of the configured region is asked."""
    call = BedrockRoute("m", None, "key-1").request({"messages": []})
    assert call.url == "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse"


def signature(asked: Asked, url: str, secret: str, region: str) -> str:
    """Sign what came over the wire once more, by botocore, at the time that the request states."""
    fields = dict(field.split("=", 1) for field in asked.headers["authorization"].split(" ", 1)[1].split(", "))
    access_key, day, *scope = fields["Credential"].split("/")
    assert scope == [region, "bedrock", "aws4_request"]
    signer = SigV4Auth(Credentials(access_key, secret), "bedrock", region)
    headers = {name: asked.headers[name] for name in fields["SignedHeaders"].split(";")}
    request = AWSRequest("POST", url + asked.path, headers=headers, data=asked.content)
    request.context["timestamp"] = asked.headers["x-amz-date"]
    assert asked.headers["x-amz-date"].startswith(day)
    return str(signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request))


def test_bedrock_by_aws_keys(converse: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key of Bedrock's, botocore's credentials sign the very bytes that are sent."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-1")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-1")
    assert judged("bedrock:/arn:aws:bedrock:eu-west-1:1:inference-profile/é", base_url=converse.url).label == "pass"
    (asked,) = converse.requests
    authorization = asked.headers["authorization"]
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert asked.headers["x-amz-security-token"] == "session-1"
    assert "x-amz-security-token" in authorization
    assert authorization.endswith("Signature=" + signature(asked, converse.url, "secret-1", "eu-west-1"))


def test_bedrock_by_an_aws_profile(converse: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys and region of the chosen profile are used."""
    monkeypatch.delenv("AWS_REGION")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config").write_text(
        "[profile judges]\nregion = eu-north-1\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = secret-2\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "judges")
    assert judged("bedrock:/m", base_url=converse.url).label == "pass"
    (asked,) = converse.requests
    assert "Credential=AKIDPROFILE/" in asked.headers["authorization"]
    assert asked.headers["authorization"].endswith(signature(asked, converse.url, "secret-2", "eu-north-1"))


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"botocore.session": None}, r"AWS_BEARER_TOKEN_BEDROCK, or pip install 'qualitrace\[server,bedrock\]'"),
        ({}, "AWS_BEARER_TOKEN_BEDROCK, or AWS credentials .*AWS_PROFILE"),
    ],
)
def test_bedrock_without_any_credentials_names_the_mends(
    converse: Wire, monkeypatch: pytest.MonkeyPatch, changed: dict[str, None], wanted: str
) -> None:
    """Without a key and botocore, or without a key and credentials, the error says what to do."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, module in changed.items():
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(JudgeError, match=wanted):
        judged("bedrock:/m", base_url=converse.url)
    assert converse.requests == []


def test_bedrock_without_a_region_names_the_variable(converse: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no region to guess."""
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(JudgeError, match="AWS_REGION"):
        judged("bedrock:/m", api_key="key-1")
