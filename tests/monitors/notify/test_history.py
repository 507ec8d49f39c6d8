"""What is kept of alerts that fired, and of their notifications."""

from dataclasses import replace

import pytest

from qualitrace_collector.state import Database
from qualitrace_monitors.notify import history
from qualitrace_monitors.notify.delivery import Notifier
from qualitrace_monitors.notify.firing import announce
from qualitrace_monitors.notify.payload import Alert, Links
from qualitrace_monitors.notify.receivers import Receiver
from support.ports import free_port

NOW = 1_800_000_000.0
LINKS = Links("http://127.0.0.1:9464")
ALERT = Alert(
    labels={"alertname": "low", "service": "shop", "judge": "groundedness", "severity": "critical"},
    annotations={"summary": "it fell", "description": "it fell.\n- an answer"},
    starts_at=NOW,
)


def change(database: Database, alert: Alert, now: float, *receivers: str) -> None:
    """Announce an alert that fires, or has ended."""
    with database.transaction() as connection:
        announce(connection, alert, receivers, LINKS, now, NOW - 60)


def test_an_alert_is_one_event_from_its_firing_to_its_end(database: Database) -> None:
    """Also when more receivers hear of it later; the next firing is another event."""
    change(database, ALERT, NOW, "ops")
    change(database, ALERT, NOW + 5, "chat")
    change(database, replace(ALERT, ends_at=NOW + 9, annotations={"summary": "it is back"}), NOW + 9, "ops", "chat")
    change(database, replace(ALERT, starts_at=NOW + 20), NOW + 20)
    again, first = history.events(database, 10)
    assert (again.fired_at, again.resolved_at, again.deliveries) == (NOW + 20, None, ())
    assert (first.rule, first.service, first.judge, first.severity) == ("low", "shop", "groundedness", "critical")
    assert (first.began_at, first.fired_at, first.resolved_at) == (NOW - 60, NOW, NOW + 9)
    assert (first.summary, first.description, first.resolution) == ("it fell", "it fell.\n- an answer", "it is back")
    assert [(each.status, each.receiver, each.outcome) for each in first.deliveries] == [
        ("firing", "chat", "waiting"),
        ("firing", "ops", "waiting"),
        ("resolved", "chat", "waiting"),
        ("resolved", "ops", "waiting"),
    ]


def test_a_notification_that_nobody_took_says_why(database: Database) -> None:
    """With the number of attempts, until it was given up."""
    url = f"http://127.0.0.1:{free_port()}/"
    notifier = Notifier({"ops": Receiver.model_validate({"url": url, "give_up_after": 3600})}, database)
    change(database, ALERT, NOW, "ops")
    notifier.deliver_next("ops", NOW)
    failed = history.event(database, 1)
    assert failed is not None
    assert (failed.deliveries[0].outcome, failed.deliveries[0].attempts, failed.deliveries[0].at) == ("failed", 1, NOW)
    assert failed.deliveries[0].reason
    notifier.deliver_next("ops", NOW + 7200)
    given_up = history.event(database, 1)
    assert given_up is not None
    assert (given_up.deliveries[0].outcome, given_up.deliveries[0].attempts) == ("given_up", 2)


def test_events_are_found_by_rule_service_and_time(database: Database) -> None:
    """The newest first, page by page."""
    for number, service in enumerate(("shop", "bank", "shop"), 1):
        labels = {**ALERT.labels, "service": service, "alertname": f"rule-{number}"}
        change(database, replace(ALERT, labels=labels, starts_at=NOW + number), NOW + number)
    assert [each.number for each in history.events(database, 2)] == [3, 2]
    assert [each.number for each in history.events(database, 2, before=2)] == [1]
    assert [each.number for each in history.events(database, 9, service="shop")] == [3, 1]
    assert [each.number for each in history.events(database, 9, rule="rule-2")] == [2]
    assert [each.number for each in history.events(database, 9, since=NOW + 3)] == [3]
    assert history.event(database, 9) is None


def test_history_has_an_end(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """By age and by number, with the deliveries."""
    monkeypatch.setattr(history, "MOST_EVENTS", 3)
    for second in range(5):
        labels = {**ALERT.labels, "service": f"s{second}"}
        change(database, replace(ALERT, labels=labels, starts_at=NOW + second), NOW + second, "ops")
    assert [each.service for each in history.events(database, 9)] == ["s4", "s3", "s2"]
    history.prune(database, NOW + 3 + history.KEEP_SECONDS)
    assert [each.service for each in history.events(database, 9)] == ["s4", "s3"]
    assert len(database.rows("SELECT * FROM alert_delivery")) == 2
