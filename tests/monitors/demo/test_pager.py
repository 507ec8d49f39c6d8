"""What the pager of the containers' stack prints."""

import pytest
from starlette.testclient import TestClient

from qualitrace_monitors.demo.pager import app


def test_each_alert_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    fired = {"alertname": "low", "service": "shop", "severity": "page"}
    alerts = [
        {"status": "firing", "labels": fired, "annotations": {"summary": "It fell."}},
        {"status": "resolved", "labels": {"alertname": "slow"}},
    ]
    assert TestClient(app).post("/alerts", json={"version": "4", "alerts": alerts}).status_code == 204
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(" FIRING low service=shop severity=page: It fell.")
    assert " RESOLVED slow " in second
