"""The payload is Alertmanager's webhook version 4, field by field."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_collector.mlflow_store.settings import Mlflow
from qualitrace_monitors.alerts.settings import AlertRule
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


@given(
    labels=st.dictionaries(st.sampled_from(["service", "team", "judge"]), st.text(max_size=2000)),
    annotations=st.dictionaries(
        st.sampled_from(["summary", "description", "owner"]),
        st.builds(lambda text, times: text * times, st.text(min_size=1), st.integers(1, 9000)),
    ),
)
def test_a_body_is_at_most_20_kb_whatever_the_texts(labels: dict[str, str], annotations: dict[str, str]) -> None:
    """Long texts are cut with an ellipsis, never the JSON; what is short stays whole, and so do addresses."""
    page = "http://127.0.0.1:9464/service/" + "%E5%AE%A2" * 120
    alert = Alert(labels=LABELS | labels, annotations={**annotations, "dashboard": page}, starts_at=0.0, url=page)
    body = webhook_payload(alert, "ops", LINKS)
    assert len(body.encode()) <= 20_000
    payload = json.loads(body)
    sent = payload["commonAnnotations"]
    assert payload["alerts"][0]["annotations"] == sent
    assert sent.pop("dashboard") == page
    assert sent.keys() == annotations.keys()
    for name, text in sent.items():
        whole = annotations[name]
        assert text == whole or (text.endswith("…") and whole.startswith(text[:-1]))
        if len(whole) <= 100:
            assert text == whole


def test_the_most_that_a_rule_may_add_fits() -> None:
    """Ten labels and annotations of the longest names and values, a service without ASCII, the longest links."""
    rule = AlertRule.model_validate(
        {
            "name": "n" * 60,
            "judge": "groundedness",
            "when": "pass_rate < 0.9",
            "severity": '"' * 120,
            "labels": {f"l{number}".ljust(60, "x"): '"' * 120 for number in range(10)},
            "annotations": {f"a{number}".ljust(60, "x"): "𝄞" * 9000 for number in range(10)},
            "runbook_url": "http://wiki.example.com/" + "x" * 470,
        }
    )
    service, links = "𝄞" * 120, Links("http://" + "x" * 240)
    page, own_page = links.page(service, "j" * 60, 0.0), links.alert_page(10**15)
    own = {"alertname": rule.name, "service": service, "judge": "j" * 60, "tier": "llm", "severity": rule.severity}
    annotations = {"summary": "𝄞" * 9000, "description": "x" * 99_000, "runbook_url": str(rule.runbook_url)}
    alert = Alert(
        labels=own | rule.labels,
        annotations=annotations | {"dashboard": page, "alert_page": own_page} | rule.annotations,
        starts_at=0.0,
        url=own_page,
    )
    body = webhook_payload(alert, "r" * 60, links)
    assert len(body.encode()) <= 20_000
    assert json.loads(body)["commonLabels"] == own | rule.labels


def test_half_of_a_character_does_not_stop_a_notification() -> None:
    """A lone surrogate, as JSON may hold it, is replaced."""
    body = webhook_payload(Alert(labels=LABELS, annotations={"summary": "a\ud83d"}, starts_at=0), "ops", LINKS)
    assert json.loads(body.encode())["commonAnnotations"] == {"summary": "a?"}


@pytest.mark.parametrize(
    ("service", "judge", "path"),
    [
        ("shop", "groundedness", "/service/shop/judge/groundedness?from=2025-11-24T16:00:00.000Z"),
        ("a/b c?d#é", "j", "/service/a%2Fb%20c%3Fd%23%C3%A9/judge/j?from=2025-11-24T16:00:00.000Z"),
        ("", "", ""),
    ],
)
def test_the_page_of_a_service_has_an_address(service: str, judge: str, path: str) -> None:
    """Names are percent-encoded, so that none leads elsewhere."""
    assert LINKS.page(service, judge, 1_764_000_000.25) == f"http://127.0.0.1:9464{path}"


def test_traces_link_to_mlflow_s_pages_if_there_are_any() -> None:
    """A tracking server has them, or whatever the configuration names; a database has none."""
    assert LINKS.trace("tr-1") == "http://mlflow.example/#/experiments/0/traces/tr-1"
    for settings, pages in (
        ({"tracking_uri": "sqlite:///mlflow.db"}, ""),
        ({"tracking_uri": "http://u:pass-word-1@mlflow:5000"}, "http://mlflow:5000"),
        ({"tracking_uri": "sqlite:///mlflow.db", "ui_url": "https://mlflow.example/"}, "https://mlflow.example/"),
        ({"tracking_uri": "http://inner:5000", "ui_url": "https://mlflow.example/"}, "https://mlflow.example/"),
    ):
        assert Mlflow.model_validate(settings).pages == pages
    assert Links("http://127.0.0.1:9464").trace("tr-1") == "tr-1"
