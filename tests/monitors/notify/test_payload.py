"""The payload is Alertmanager's webhook version 4, field by field."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from qualitrace_monitors.notify.payload import Alert, Links, webhook_payload

LINKS = Links("http://127.0.0.1:9464", "http://mlflow.example")
LABELS = {"alertname": "low", "service": 'the "shop"', "severity": "warning"}
TEXTS = st.dictionaries(st.text(min_size=1), st.text(), min_size=1)


def test_a_firing_payload_has_every_field() -> None:
    """All fields of version 4 are there, times in RFC 3339, `endsAt` Go's zero time."""
    alert = Alert(labels=LABELS, annotations={"summary": "it fell"}, starts_at=1_764_000_000.25)
    payload = json.loads(webhook_payload(alert, "ops", LINKS))
    [alert_sent] = payload.pop("alerts")
    assert re.fullmatch("[0-9a-f]{16}", alert_sent.pop("fingerprint"))
    assert alert_sent == {
        "status": "firing",
        "labels": LABELS,
        "annotations": {"summary": "it fell"},
        "startsAt": "2025-11-24T16:00:00.250Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://127.0.0.1:9464",
    }
    assert payload == {
        "version": "4",
        "groupKey": '{}:{alertname="low", service="the \\"shop\\""}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "ops",
        "groupLabels": {"alertname": "low", "service": 'the "shop"'},
        "commonLabels": LABELS,
        "commonAnnotations": {"summary": "it fell"},
        "externalURL": "http://127.0.0.1:9464",
    }


def test_a_resolved_payload_has_its_end() -> None:
    """An alert with an end is resolved, in the payload and in the alert."""
    alert = Alert(labels=LABELS, annotations={}, starts_at=0, ends_at=60)
    payload = json.loads(webhook_payload(alert, "ops", LINKS))
    assert payload["status"] == payload["alerts"][0]["status"] == "resolved"
    assert payload["alerts"][0]["endsAt"] == "1970-01-01T00:01:00.000Z"


@given(TEXTS)
def test_a_fingerprint_depends_on_the_labels_alone(labels: dict[str, str]) -> None:
    """Order, annotations and times do not change it; one more label does."""
    reverse = dict(reversed(labels.items()))
    first = Alert(labels=labels, annotations={}, starts_at=0)
    again = Alert(labels=reverse, annotations={"summary": "x"}, starts_at=1, ends_at=2)
    other = Alert(labels={**labels, "one more": "label"}, annotations={}, starts_at=0)
    assert first.fingerprint == again.fingerprint
    assert (first.fingerprint == other.fingerprint) == (labels.get("one more") == "label")


@given(TEXTS)
def test_any_text_survives_the_payload(annotations: dict[str, str]) -> None:
    """Whatever a rationale holds, the body is JSON that gives it back."""
    alert = Alert(labels=LABELS, annotations=annotations, starts_at=0)
    assert json.loads(webhook_payload(alert, "ops", LINKS))["commonAnnotations"] == annotations


def test_traces_link_to_a_tracking_server_only() -> None:
    """An http tracking URI gives the trace's page; a database has no pages."""
    assert LINKS.trace("tr-1") == "http://mlflow.example/#/experiments/0/traces/tr-1"
    assert Links("http://127.0.0.1:9464", "sqlite:///mlflow.db").trace("tr-1") == "tr-1"
