"""Prometheus beside a server: alerts both ways on the same data, and the dashboards, whose panels all show something."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from qualitrace_monitors.prometheus_rules.command import rules as rules_command
from support import plain_http
from support.alertmanager import alertmanager
from support.grafana import empty_panels
from support.judge_model import judge_model
from support.otlp import attributes, rag_trace, request, trace_id
from support.prometheus import ask, prometheus
from support.serving import Server
from support.waiting import eventually
from support.webhooks import WebhookReceiver

SERVICE = 'shop "№1" \\ 客服'
PASSAGE = "The warranty of a tent lasts 24 months."
RULE = {
    "name": "low",
    "judge": "groundedness",
    "when": "pass_rate < 0.5",
    "false_alarms": "5% per 1h",
    "severity": "page",
    "labels": {"team": "search"},
    "notify": ["ops"],
}


@pytest.fixture
def hooks() -> Iterator[list[WebhookReceiver]]:
    """Provide two receivers: one of the server itself, one of Alertmanager."""
    started = [WebhookReceiver(), WebhookReceiver()]
    for hook in started:
        hook.start()
    yield started
    for hook in started:
        hook.stop()


@pytest.fixture
def judge_model_url() -> Iterator[str]:
    """Provide the address of a judge's model."""
    with judge_model() as (url, _):
        yield url


def notified(hook: WebhookReceiver) -> list[dict[str, Any]]:
    """Return the notifications that a receiver got of the rule's alert, in order."""
    alerts = [alert for _, body in hook.received for alert in json.loads(body)["alerts"]]
    return [alert for alert in alerts if alert["labels"]["alertname"] == "low"]


def test_both_ways_fire_and_resolve_together(
    serve: Callable[..., Server], hooks: list[WebhookReceiver], judge_model_url: str, tmp_path: Path
) -> None:
    """Same labels, fired at the same time and resolved at the same time, as both receivers see.

    While it fires, no panel of a dashboard is empty.
    """
    own, theirs = hooks
    receiver = {"kind": "webhook", "url": own.url}
    model = {"model": "openai:/gpt-5-mini", "base_url": judge_model_url, "api_key": "none"}
    server = serve(
        judges=["groundedness", {"name": "relevance"} | model],
        budget={"usd_per_day": 50},
        alerts=[RULE],
        notify={"ops": receiver},
    )
    options = ["--config", str(server.config_path), "--out", str(tmp_path / "rules")]
    assert CliRunner().invoke(rules_command, options).exit_code == 0
    numbers = iter(range(1, 10_000))

    def answer(text: str, count: int) -> None:
        for _ in range(count):
            number = next(numbers)
            spans = rag_trace(number, question="How long?", answer=text, passages=[PASSAGE])
            spans[-1].attributes.extend(attributes({"gen_ai.response.time_to_first_chunk": 0.3}))
            body = request(spans, SERVICE, service__version="1.4").SerializeToString()
            assert server.send(body).status_code == 200
            label = {"trace_id": trace_id(number).hex(), "name": "groundedness", "value": True, "source": "expert"}
            assert plain_http.post(f"{server.endpoint}/v1/feedback", json=label).status_code == 200

    def both(status: str) -> list[dict[str, Any]]:
        """Wait until both were notified; answers go on until the server's own alert changes."""
        text = "It was invented by 12 monks on Mars." if status == "firing" else "It lasts 24 months."

        def own_alert() -> bool:
            found = status in [alert["status"] for alert in notified(own)]
            if not found:
                answer(text, 10)
            return found

        eventually(own_alert, timeout=60, interval=1)
        eventually(lambda: notified(theirs) and notified(theirs)[-1]["status"] == status, timeout=60)
        return [notified(hook)[-1] for hook in hooks]

    rules = tmp_path / "rules" / "qualitrace.rules.yml"
    with alertmanager(tmp_path, theirs.url) as address, prometheus(server.web, tmp_path, rules, address) as api:
        eventually(lambda: ask(f"{api}/status/buildinfo"), timeout=60)
        eventually(lambda: ask(f"{api}/query", query="qualitrace_build_info")["result"], timeout=60)
        ours, prometheus_s = both("firing")
        labels = {"alertname": "low", "service": SERVICE, "judge": "groundedness", "tier": "local"}
        assert ours["labels"] == prometheus_s["labels"] == labels | {"severity": "page", "team": "search"}
        assert prometheus_s["annotations"]["runbook_url"] == f"http://{server.web}/runbook/quality.md"
        eventually(lambda: empty_panels(api, SERVICE) == [], timeout=30)
        assert {"Pass rate", "Results"} <= {*empty_panels(api, "nowhere")}
        both("resolved")
        healthy = [alert["labels"]["alertname"] for alert in ask(f"{api}/alerts")["alerts"]]
        assert [name for name in healthy if name.startswith("Qualitrace")] == []
    assert [alert["status"] for alert in notified(own)] == ["firing", "resolved"]
