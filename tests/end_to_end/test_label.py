"""A label that an expert gives on the page of an answer: to MLflow, to calibration, to the corrected pass rate."""

import re
from collections.abc import Callable

import pytest
from mlflow import MlflowClient
from mlflow.entities import Feedback

from qualitrace_monitors.calibrate.labels import collect
from support import plain_http
from support.otlp import rag_trace, request, trace_id
from support.serving import Server
from support.waiting import eventually

pytestmark = pytest.mark.slow


def test_a_label_from_the_page_calibrates_the_judge(serve: Callable[..., Server]) -> None:
    """It is an expert's human assessment, once for a form sent twice, without the personal data in its comment."""
    server = serve(judges=["groundedness"], collector={"redact": ["email"]})
    spans = rag_trace(1, question="Returns?", answer="Within 99 years on Mars.", passages=["Returns take 30 days."])
    assert server.send(request(spans, "shop").SerializeToString()).status_code == 200
    trace, web = "tr-" + trace_id(1).hex(), f"http://{server.web}"
    page = eventually(lambda: _text(f"{web}/trace/{trace}", "fail"), timeout=60)
    assert "<mark>Within 99 years on Mars." in page
    nonce = re.findall(r'name="nonce" value="(\w+)"', page)[0]
    form = {"trace_id": trace, "nonce": nonce, "say": "bad groundedness", "reader": "Ada", "comment": "Ask a@b.com"}
    for _ in range(2):
        assert plain_http.post(f"{web}/label", data=form, timeout=30).status_code == 303
    shown = eventually(lambda: _text(f"{web}/trace/{trace}", "<strong>bad</strong> by Ada"), timeout=60)
    assert "Ask [email]" in shown
    client = MlflowClient(server.tracking_uri)
    assessments = client.get_trace(trace).info.assessments
    human = [item for item in assessments if isinstance(item, Feedback) and item.source.source_type == "HUMAN"]
    assert [(item.name, item.value, item.source.source_id, item.rationale) for item in human] == [
        ("groundedness", "bad", "Ada", "Ask [email]")
    ]
    labelled = collect(client, "groundedness", "groundedness").pairs
    assert {name: pair.good for name, pair in labelled.items()} == {trace: False}
    assert server.sample("qualitrace_pass_rate_corrected", judge="groundedness", window="1h") < 0.5
    assert 'qualitrace_pass_rate_corrected{judge="groundedness"' in plain_http.get(f"{web}/metrics", timeout=30).text


def _text(address: str, wanted: str) -> str:
    """Return a page once it shows something; empty before."""
    answer = plain_http.get(address, timeout=30)
    return answer.text if answer.status_code == 200 and wanted in answer.text else ""
