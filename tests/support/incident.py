"""An incident in the stack of deploy/compose.yaml: retrieval breaks and is repaired, and both are reported."""

import time
from collections.abc import Callable
from typing import Any

from support import plain_http
from support.prometheus import ask
from support.stack import Stack
from support.waiting import eventually

ALERT = "groundedness-low"
SCORES, STATE = "qualitrace_judgements_total", "qualitrace_alert_state"
ENOUGH_SCORES = 40
"""Good answers before retrieval breaks: the rule then knows what is normal."""
PATIENCE = 300.0


def play(stack: Stack) -> None:
    """Play it, and print the seconds from the break, and from the repair, to each sign of it. Fails without one."""
    print("customers ask, and answers are scored", flush=True)
    eventually(lambda: stack.sample(SCORES, judge="groundedness") >= ENOUGH_SCORES, timeout=PATIENCE)
    assert not _prometheus_fires(stack)
    _watch(stack, broken=True)
    _watch(stack, broken=False)
    others = [alert["labels"] for alert in _prometheus_alerts(stack) if alert["labels"]["alertname"] != ALERT]
    assert not [labels for labels in others if not labels.get("approximate")], f"something else is wrong: {others}"
    eventually(
        lambda: "groundedness" in _newest_assessments(stack), timeout=PATIENCE
    )  # it is scored after it is stored
    print("MLflow shows traces with their scores, and Prometheus reports nothing else", flush=True)


def _watch(stack: Stack, *, broken: bool) -> None:
    """Break or repair retrieval, and wait until qualitrace, Alertmanager, the pager and Prometheus all say so."""
    body = {"broken": broken}
    plain_http.post(f"{stack.url(8000)}/admin/retrieval", json=body, timeout=30).raise_for_status()
    started, status = time.monotonic(), "firing" if broken else "resolved"
    print(f"retrieval is {'broken' if broken else 'repaired'}", flush=True)
    signs: dict[str, Callable[[], bool]] = {
        "qualitrace": lambda: bool(stack.sample(STATE, alert=ALERT, state="firing")) == broken,
        "Alertmanager": lambda: _alertmanager_fires(stack) == broken,
        "the pager": lambda: f"{status.upper()} {ALERT}" in stack.log("pager"),
        "Prometheus": lambda: _prometheus_fires(stack) == broken,
    }

    def all_seen() -> bool:
        for name in [name for name, sign in signs.items() if sign()]:
            print(f"{time.monotonic() - started:6.1f} s  {name}: {status}", flush=True)
            del signs[name]
        return not signs

    eventually(all_seen, timeout=PATIENCE, interval=0.2)


def _alertmanager_fires(stack: Stack) -> bool:
    alerts = plain_http.get(f"{stack.url(9093)}/api/v2/alerts", params={"filter": f'alertname="{ALERT}"'}).json()
    return any(alert["status"]["state"] == "active" for alert in alerts)


def _prometheus_alerts(stack: Stack) -> list[dict[str, Any]]:
    return ask(f"{stack.url(9090)}/api/v1/alerts")["alerts"]


def _prometheus_fires(stack: Stack) -> bool:
    found = [alert for alert in _prometheus_alerts(stack) if alert["labels"]["alertname"] == ALERT]
    return any(alert["state"] == "firing" for alert in found)


def _newest_assessments(stack: Stack) -> set[str]:
    """Return the names of the newest trace's assessments, as MLflow's server shows them."""
    asked = {"locations": _experiments(stack), "max_results": 1}
    found = plain_http.post(f"{stack.url(5000)}/api/3.0/mlflow/traces/search", json=asked).raise_for_status().json()
    return {assessment["assessment_name"] for assessment in found["traces"][0].get("assessments", [])}


def _experiments(stack: Stack) -> list[dict[str, Any]]:
    search = f"{stack.url(5000)}/api/2.0/mlflow/experiments/search"
    found = plain_http.post(search, json={"max_results": 10}).raise_for_status().json()["experiments"]
    ids = [experiment["experiment_id"] for experiment in found]
    return [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": number}} for number in ids]
