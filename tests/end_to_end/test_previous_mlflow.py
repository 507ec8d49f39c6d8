"""The oldest release of MLflow that pyproject.toml allows, in front of the one that is installed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.otlp import rag_trace, request, trace_id
from support.serving import Server
from support.waiting import eventually

PREVIOUS = "3.16.*"
READ = """
import json, sys, mlflow
trace = mlflow.MlflowClient(sys.argv[1]).get_trace(sys.argv[2])
print(json.dumps({
    "version": mlflow.__version__,
    "spans": [span.name for span in trace.data.spans],
    "preview": trace.info.request_preview,
    "tokens": trace.info.token_usage,
    "verdicts": {item.name: item.metadata["qualitrace.label"] for item in trace.info.assessments},
}))
"""


@pytest.fixture
def previous_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the release without what it needs, which is what the newer one needs, and let processes find it first."""
    folder = tmp_path / "previous"
    packages = [f"{name}=={PREVIOUS}" for name in ("mlflow", "mlflow-skinny", "mlflow-tracing")]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *packages]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))


@pytest.mark.usefixtures("previous_mlflow")
def test_the_release_before_stores_and_reads_back(serve: Callable[..., Server]):
    """Its tables have other columns: traces and verdicts take MLflow's own way, and read as with the newest."""
    server = serve(judges=["toxicity"], mlflow={"retention": {"traces": 100}})
    for number in range(1, 6):
        spans = rag_trace(number, question="Q?", answer="A.", passages=["P."])
        assert server.send(request(spans).SerializeToString()).status_code == 200
    eventually(lambda: server.sample("qualitrace_judgements_total", outcome="scored") == 5, timeout=120)
    assert server.stop() == 0
    for number in range(1, 6):
        found = read(server, f"tr-{trace_id(number).hex()}")
        assert found.pop("version").startswith(PREVIOUS.removesuffix("*"))
        assert found == {
            "spans": ["POST /ask", "retrieve", "chat gpt-4o-mini"],
            "preview": '"Q?"',
            "tokens": {"input_tokens": 14, "output_tokens": 8, "total_tokens": 22},
            "verdicts": {"toxicity": "pass"},
        }
    log = (server.folder / "serve.log").read_text()
    assert "Traceback" not in log
    assert "cannot be deleted" not in log


def read(server: Server, mlflow_id: str) -> Any:
    command = [sys.executable, "-c", READ, server.tracking_uri, mlflow_id]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
