"""Which labels, annotations and links a rule may add to its alerts."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from qualitrace_collector.config import ConfigError, parse_config
from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.config import Config
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.notify.payload import Links

NOW = 1_764_000_000.0
RULE = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9", "notify": ["ops"]}


def mistakes(**rule: object) -> list[str]:
    """List what is wrong with a rule."""
    raw = {"judges": ["groundedness"], "alerts": [{**RULE, **rule}], "notify": {"ops": {"url": "http://127.0.0.1:1/"}}}
    with pytest.raises(ConfigError) as caught:
        parse_config(raw, Config)
    return caught.value.mistakes


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ({"my-team": "x"}, "alerts.0.labels: 'my-team' is no name that Prometheus takes: "),
        ({"1st": "x"}, "alerts.0.labels: '1st' is no name that Prometheus takes: "),
        ({"é": "x"}, "alerts.0.labels: 'é' is no name that Prometheus takes: "),
        ({"": "x"}, "alerts.0.labels: '' is no name that Prometheus takes: "),
        ({"team\n": "x"}, "alerts.0.labels: 'team\\n' is no name that Prometheus takes: "),
        ({"__meta": "x"}, "alerts.0.labels: '__meta' is taken: "),
        ({"alertname": "x"}, "alerts.0.labels: 'alertname' is taken: it is the rule's name"),
        ({"service": "x"}, "alerts.0.labels: 'service' is taken: "),
        ({"severity": "page"}, "alerts.0.labels: 'severity' is taken: write it as the rule's severity"),
        ({"team": " "}, "alerts.0.labels: team: must not be empty"),
        ({"team": "é" * 61}, "alerts.0.labels: team: must be at most 120 bytes"),
        ({"team": "a\nb"}, "alerts.0.labels: team: must be one line"),
        ({"x" * 61: "x"}, f"alerts.0.labels: '{'x' * 20}'…: a name is at most 60 letters"),
        ({f"l{number}": "x" for number in range(11)}, "alerts.0.labels: must be at most 10 (got 11)"),
        ({"team": 7}, "alerts.0.labels.team: "),
    ],
)
def test_a_label_that_alertmanager_would_refuse_is_a_mistake(labels: dict[str, Any], text: str) -> None:
    """The message names the label and the reason, before any alert has fired."""
    [mistake] = mistakes(labels=labels)
    assert mistake.startswith(text)


def test_every_mistake_is_told() -> None:
    """Of annotations, severity and the runbook's address, too."""
    assert len(mistakes(annotations={"summary": "x"}, severity="", runbook_url="wiki")) == 3
    [mistake] = mistakes(annotations={"summary": "x", "a b": "y"})
    assert "'summary' is taken: write it as the rule's summary" in mistake
    assert "'a b' is no name" in mistake


def test_what_a_rule_adds_is_in_both_notifications(database: Database, add_score: Callable[..., str]) -> None:
    """Labels, annotations, runbook, the alert's page and that of the service since about when it fell."""
    rule = AlertRule.model_validate(
        {
            **RULE,
            "labels": {"team": "search", "env": "prod"},
            "annotations": {"chat": "#search"},
            "runbook_url": "https://wiki.example.com/low",
            "severity": "page",
        }
    )
    engine = AlertEngine([rule], database, Estimator(database), Links("https://qualitrace.example.com"))
    for label, at in (("fail", NOW), ("pass", NOW + 60)):
        for _ in range(60):
            add_score(database, label, at, service="shop/eu")
        engine.evaluate(at)
    rows = database.connection().execute("SELECT body FROM outbox ORDER BY sequence").fetchall()
    alerts = [json.loads(row["body"])["alerts"][0] for row in rows]
    page = "https://qualitrace.example.com/service/shop%2Feu/judge/groundedness?from=2025-11-24T16:00:00.000Z"
    own = "https://qualitrace.example.com/alerts/event/1"
    assert [alert["status"] for alert in alerts] == ["firing", "resolved"]
    for alert in alerts:
        assert alert["labels"] == {
            "alertname": "low",
            "service": "shop/eu",
            "judge": "groundedness",
            "tier": "local",
            "severity": "page",
            "team": "search",
            "env": "prod",
        }
        assert (
            alert["annotations"].items()
            >= {
                "chat": "#search",
                "runbook_url": "https://wiki.example.com/low",
                "dashboard": page,
                "alert_page": own,
            }.items()
        )
        assert alert["generatorURL"] == own
        assert alert["annotations"]["description"].splitlines()[1] == f"The alert's page: {own}"
