"""Rules that need no judge, with a real server, OpenTelemetry's own SDK and a real webhook."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import StatusCode

from support.serving import Server
from support.waiting import eventually
from support.webhooks import WebhookReceiver

pytestmark = pytest.mark.slow


def answer(server: Server, *, fails: bool, times: int) -> None:
    """Let an application answer, each answer a trace of its own."""
    provider = TracerProvider(resource=Resource({"service.name": "assistant", "service.version": "1.5.0"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{server.endpoint}/v1/traces")))
    tracer = provider.get_tracer("test")
    for _ in range(times):
        with tracer.start_as_current_span("chat house-model") as span:
            span.set_attribute("gen_ai.operation.name", "chat")
            span.set_attribute("gen_ai.usage.input_tokens", 1000)
            if fails:
                span.set_status(StatusCode.ERROR, "the provider is down")
    provider.shutdown()


def test_failing_requests_are_alerted_and_resolved_without_a_judge(
    serve: Callable[..., Server], webhook_receiver: WebhookReceiver
) -> None:
    """The error rate fires and resolves, an hour's tokens fire, and then the silence does."""
    conditions = {
        "errors": "error_rate > 5%",
        "tokens": "tokens_per_hour > 50000",
        "silent": "no_requests for 12s",
        "slow": "p95_duration > 1m",
    }
    rules = [{"name": name, "when": when, "notify": ["ops"]} for name, when in conditions.items()]
    server = serve(
        judges=[], alerts=rules, notify={"ops": {"url": webhook_receiver.url}}, assembly={"quiet_period": "200ms"}
    )

    def notified(name: str) -> list[dict[str, Any]]:
        alerts = [alert for _, body in webhook_receiver.received for alert in json.loads(body)["alerts"]]
        return [alert for alert in alerts if alert["labels"]["alertname"] == name]

    def statuses(name: str) -> list[str]:
        return [alert["status"] for alert in notified(name)]

    answer(server, fails=True, times=60)
    eventually(lambda: statuses("errors") == ["firing"], timeout=60)
    summary = notified("errors")[0]["annotations"]["summary"]
    assert summary.startswith("requests of assistant fail: error rate 1.00 in about ")
    eventually(lambda: statuses("tokens") == ["firing"], timeout=30)
    assert notified("tokens")[0]["annotations"]["summary"].startswith("assistant took 60,000 tokens in the last hour")

    answer(server, fails=False, times=400)
    eventually(lambda: statuses("errors") == ["firing", "resolved"], timeout=60)
    eventually(lambda: "firing" in statuses("silent"), timeout=60)
    assert statuses("slow") == []
    assert server.sample("qualitrace_alert_state", alert="silent", state="firing") == 1
