"""The oldest release of MLflow that pyproject.toml allows, in front of the one that is installed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.judge_model import MARKER, judge_model
from support.otlp import rag_trace, request, trace_id
from support.serving import Server
from support.waiting import eventually

OLDEST = "3.16.0"
READ = """
import json, sys, mlflow
client = mlflow.MlflowClient(sys.argv[1])
print(json.dumps([mlflow.__version__, *(
    {
        "spans": [span.name for span in trace.data.spans],
        "preview": trace.info.request_preview,
        "tokens": trace.info.token_usage,
        "verdicts": {item.name: item.value for item in trace.info.assessments if item.name.endswith(".verdict")},
    }
    for trace in map(client.get_trace, sys.argv[2:])
)]))
"""


@pytest.fixture
def oldest_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the release without what it needs, which is what the newer one needs, and let processes find it first."""
    folder = tmp_path / "oldest"
    packages = [f"{name}=={OLDEST}" for name in ("mlflow", "mlflow-skinny", "mlflow-tracing")]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *packages]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Serve a model where MLflow's scorers look for OpenAI's."""
    with judge_model() as (url, _):
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        monkeypatch.setenv("OPENAI_API_BASE", url)
        yield


@pytest.mark.timeout(600)  # the release is downloaded
@pytest.mark.usefixtures("oldest_mlflow", "model")
def test_the_oldest_release_stores_and_reads_back(serve: Callable[..., Server]):
    """Its tables have other columns: traces and verdicts, of its own judges too, read as with the newest."""
    scorer = {"name": "to_the_point", "scorer": "mlflow.RelevanceToQuery", "model": "openai:/m"}
    server = serve(empty=True, judges=["toxicity", scorer], mlflow={"retention": {"traces": 100}})
    for number in range(1, 6):
        spans = rag_trace(number, question="Q?", answer=MARKER if number == 5 else "A.", passages=["P."])
        assert server.send(request(spans).SerializeToString()).status_code == 200
    eventually(lambda: server.sample("qualitrace_judgements_total", outcome="scored") == 10, timeout=120)
    assert server.stop() == 0
    version, *found = read(server, [f"tr-{trace_id(number).hex()}" for number in range(1, 6)])
    assert version == OLDEST
    for number, trace in enumerate(found, start=1):
        assert trace == {
            "spans": ["POST /ask", "retrieve", "chat gpt-4o-mini"],
            "preview": '"Q?"',
            "tokens": {"input_tokens": 14, "output_tokens": 8, "total_tokens": 22},
            "verdicts": {"toxicity.verdict": "pass", "to_the_point.verdict": "fail" if number == 5 else "pass"},
        }
    log = (server.folder / "serve.log").read_text()
    assert "Traceback" not in log
    assert "cannot be deleted" not in log


def read(server: Server, mlflow_ids: Sequence[str]) -> Any:
    """Read with the release itself; return its version and what it shows of each trace."""
    command = [sys.executable, "-c", READ, server.tracking_uri, *mlflow_ids]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
