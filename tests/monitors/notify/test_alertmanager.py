"""Alerts in a real Alertmanager, and what is posted to its API."""

import base64
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from qualitrace_collector.config import ConfigError, parse_config
from qualitrace_collector.state import Database
from qualitrace_monitors.config import Config
from qualitrace_monitors.notify.delivery import Notifier
from qualitrace_monitors.notify.firing import announce
from qualitrace_monitors.notify.heartbeat import Heartbeat, HeartbeatConfig
from qualitrace_monitors.notify.outbox import Outbox
from qualitrace_monitors.notify.payload import Alert, Links, rfc3339, webhook_payload
from qualitrace_monitors.notify.receiver import DeliveryFailed, Notification
from qualitrace_monitors.notify.receivers import Receiver
from support import plain_http
from support.alertmanager import alertmanager
from support.ports import free_port
from support.waiting import eventually
from support.webhooks import WebhookReceiver

NOW = 1_764_000_000.0
LINKS = Links("http://127.0.0.1:9464")
LABELS = {"alertname": "low", "service": "shop 客服", "severity": "page", "team": "search"}
PAGE = LINKS.page("shop 客服", "groundedness", NOW)


def configured(url: object, **settings: object) -> Receiver:
    raw = {"notify": {"am": {"kind": "alertmanager", "url": url, **settings}}}
    return parse_config(raw, Config).notify["am"]


def alert_at(at: float, **changes: Any) -> Alert:
    annotations = {"summary": "it fell", "description": "it fell.", "dashboard": PAGE}
    return Alert(labels=LABELS, annotations=annotations, starts_at=at, **changes)


def post(receiver: Receiver, alert: Alert, now: float = NOW) -> str:
    body = webhook_payload(alert, "am", LINKS)
    notification = Notification(id="msg_1", receiver="am", body=body, created_at=now, due_at=now, attempts=0)
    answer = receiver.deliver(notification, now)
    return answer.problem or answer.text


def posted(receiver: WebhookReceiver) -> list[dict[str, Any]]:
    """List the alerts that were posted, one in each request."""
    return [alert for _, body in receiver.received for alert in json.loads(body)]


@pytest.fixture
def second_receiver() -> Iterator[WebhookReceiver]:
    receiver = WebhookReceiver()
    receiver.start()
    yield receiver
    receiver.stop()


@pytest.mark.slow
def test_an_alert_lives_and_ends_in_alertmanager(database: Database, webhook_receiver: Any, tmp_path: Path) -> None:
    """It arrives with labels, annotations and link, stays active over a restart beyond its end, and resolves."""
    with alertmanager(tmp_path, webhook_receiver.url) as url:
        receivers = {"am": configured(url, resend="1s")}
        notifier = Notifier(receivers, database)

        def active() -> list[dict[str, Any]]:
            while notifier.deliver_next("am", time.time()):
                pass
            return plain_http.get(f"{url}/api/v2/alerts").json()

        began = time.time()
        with database.transaction() as connection:
            announce(connection, alert_at(began), ["am"], LINKS, began)
        [first] = eventually(active)
        assert (first["labels"], first["status"]["state"]) == (LABELS, "active")
        own_page = LINKS.alert_page(1)
        assert first["annotations"] == {
            "summary": "it fell",
            "description": f"it fell.\nThe alert's page: {own_page}",
            "dashboard": PAGE,
            "alert_page": own_page,
        }
        assert first["generatorURL"] == own_page
        notifier = Notifier(receivers, database)
        end = datetime.fromisoformat(first["endsAt"]).timestamp()
        eventually(lambda: active() and time.time() > end + 1)
        [later] = active()
        assert later["startsAt"] == first["startsAt"]
        assert later["endsAt"] > first["endsAt"]
        ended = time.time()
        with database.transaction() as connection:
            announce(connection, alert_at(began, ends_at=ended), ["am"], LINKS, ended)
        eventually(lambda: not active())
        eventually(lambda: len(webhook_receiver.received) == 2)
        told = [json.loads(body) for _, body in webhook_receiver.received]
        assert [each["status"] for each in told] == ["firing", "resolved"]
        assert told[1]["alerts"][0]["endsAt"].startswith(rfc3339(ended)[:-5])


@pytest.mark.slow
def test_an_alert_of_a_silent_qualitrace_ends(database: Database, webhook_receiver: Any, tmp_path: Path) -> None:
    """Without another notification Alertmanager resolves it by itself: nobody is left with an alert that nobody ends."""
    with alertmanager(tmp_path, webhook_receiver.url) as url:
        post(configured(url, resend="1s"), alert_at(time.time()), time.time())
        assert plain_http.get(f"{url}/api/v2/alerts").json()
        eventually(lambda: plain_http.get(f"{url}/api/v2/alerts").json() == [])


def test_what_fires_is_posted_again_until_it_ends(database: Database, webhook_receiver: Any) -> None:
    """Every `resend`, each time with a later end, by the next process too, and not after the end."""
    receivers = {"am": configured(webhook_receiver.url, resend="1m")}

    def run(first: int, last: int) -> None:
        notifier = Notifier(receivers, database)
        for second in range(first, last):
            while notifier.deliver_next("am", NOW + second):
                pass

    with database.transaction() as connection:
        announce(connection, alert_at(NOW), ["am"], LINKS, NOW)
    run(0, 90)
    run(90, 150)
    with database.transaction() as connection:
        announce(connection, alert_at(NOW, ends_at=NOW + 150), ["am"], LINKS, NOW + 150)
    run(150, 600)
    ends = [datetime.fromisoformat(alert["endsAt"]).timestamp() - NOW for alert in posted(webhook_receiver)]
    assert ends == [240, 300, 360, 150]


def test_an_alertmanager_that_was_away_gets_one_repeat(database: Database, webhook_receiver: Any) -> None:
    """What fires waits once, in front of its end, and is tried again within `resend`, however long it was away."""
    webhook_receiver.stop()
    notifier = Notifier({"am": configured(webhook_receiver.url, resend="1m")}, database)
    with database.transaction() as connection:
        announce(connection, alert_at(NOW), ["am"], LINKS, NOW)
    for second in range(0, 600, 60):
        notifier.deliver_next("am", NOW + second)
    with database.transaction() as connection:
        announce(connection, alert_at(NOW, ends_at=NOW + 600), ["am"], LINKS, NOW + 600)
    webhook_receiver.start()
    for second in range(600, 661):
        while notifier.deliver_next("am", NOW + second):
            pass
    ends = [datetime.fromisoformat(alert["endsAt"]).timestamp() - NOW for alert in posted(webhook_receiver)]
    assert len(ends) == 3
    assert ends[-1] == 600


def test_a_heartbeat_lasts_three_intervals(database: Database, webhook_receiver: Any) -> None:
    """It is not repeated by the notifier, which would hide a dead monitor, and one lost beat does not end it."""
    heartbeat = Heartbeat(HeartbeatConfig(interval=300, notify=("am",)), database, LINKS)
    notifier = Notifier({"am": configured(webhook_receiver.url)}, database)
    heartbeat.beat(NOW)
    for second in range(0, 600, 30):
        notifier.deliver_next("am", NOW + second)
    [alert] = posted(webhook_receiver)
    assert alert["labels"]["alertname"] == "QualitraceHeartbeat"
    assert alert["endsAt"] == rfc3339(NOW + 900)


def test_one_alertmanager_of_a_cluster_is_enough(database: Database, webhook_receiver: Any) -> None:
    """The others get it from that one; the one that fails is a problem still."""
    dead = f"http://127.0.0.1:{free_port()}"
    receiver = configured([dead, webhook_receiver.url])
    notifier = Notifier({"am": receiver}, database)
    with database.transaction() as connection:
        Outbox.put(connection, "am", webhook_payload(alert_at(NOW), "am", LINKS), NOW)
    notifier.deliver_next("am", NOW)
    assert len(posted(webhook_receiver)) == 1
    assert notifier.notifications == {("am", "sent"): 1}
    assert notifier.problem("am").endswith("1 of 2 Alertmanagers do not take it: it refuses connections")


def test_a_cluster_gives_up_together(webhook_receiver: Any, second_receiver: WebhookReceiver) -> None:
    """What all of them refuse is given up; what one may take later is tried again, at the earliest time."""
    receiver = configured([webhook_receiver.url, second_receiver.url])
    for answers, permanent, pause in (
        (((400, {}), (400, {})), True, 0),
        (((400, {}), (503, {"Retry-After": "9"})), False, 0),
        (((503, {"Retry-After": "30"}), (429, {"Retry-After": "9"})), False, 9),
    ):
        webhook_receiver.answers, second_receiver.answers = [answers[0]], [answers[1]]
        with pytest.raises(DeliveryFailed) as caught:
            post(receiver, alert_at(NOW))
        assert (caught.value.permanent, caught.value.retry_after) == (permanent, pause)


def test_it_proves_itself(webhook_receiver: Any) -> None:
    """By Basic authentication or a bearer token."""
    url = f"http://127.0.0.1:{webhook_receiver.port}/prefix/"
    post(configured(url, username="ops", password="s3cret"), alert_at(NOW))
    post(configured(url, bearer_token="t0ken"), alert_at(NOW))
    sent = [headers["authorization"] for headers, _ in webhook_receiver.received]
    assert sent == ["Basic " + base64.b64encode(b"ops:s3cret").decode(), "Bearer t0ken"]


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({"username": "ops"}, "username and password belong together"),
        ({"username": "ops", "password": ""}, "password: is empty"),
        ({"username": "ops", "password": "p", "bearer_token": "t"}, "two ways to authenticate"),
        ({"bearer_token": ""}, "bearer_token: is empty"),
        ({"url": []}, "url"),
        ({"url": ["http://127.0.0.1:1"] * 9}, "url"),
        ({"url": "http://169.254.169.254/"}, "url: 169.254.169.254 is link-local"),
        ({"url": ["http://am:9093", "http://[fd00:ec2::254]/"]}, "url: fd00:ec2::254 is a cloud's metadata service"),
        ({"resend": "0s"}, "resend: must be at least 1"),
    ],
)
def test_a_mistake_is_named(settings: dict[str, Any], mistake: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigError, match=r"notify\.am") as caught:
        configured(**{"url": "http://127.0.0.1:9093", **settings})
    assert mistake in "\n".join(caught.value.mistakes)


def test_an_alert_never_ends_before_it_starts(webhook_receiver: Any) -> None:
    """Alertmanager would refuse it: a clock that was set back may not keep it from ending."""
    post(configured(webhook_receiver.url), alert_at(NOW, ends_at=NOW - 600))
    [alert] = posted(webhook_receiver)
    assert alert["endsAt"] == alert["startsAt"] == rfc3339(NOW)
