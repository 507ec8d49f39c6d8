"""The demo's receiver of alerts: it believes signatures only, and counts a repeat once."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from qualitrace_monitors.demo.receiver import Alert, new_secret, receiver_app
from qualitrace_monitors.demo.serving import served
from qualitrace_monitors.demo.stage import ALERT, Inbox

SECRET = new_secret()
BODY = json.dumps(
    {
        "version": "4",
        "status": "firing",
        "alerts": [
            {"status": "firing", "labels": {"alertname": "a"}, "annotations": {"summary": "fell"}},
            {"status": "resolved", "labels": {"alertname": "b"}},
        ],
    }
)


class Receiver:
    """A running receiver with what it heard."""

    def __init__(self, url: str, heard: list[Alert]) -> None:
        self.heard = heard
        self._url = url

    def post(self, body: str, **changed: str) -> int:
        """Sign BODY, send `body` under that signature with `changed` headers; returns the status."""
        sent = datetime.now(UTC)
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(sent.timestamp())),
            "webhook-signature": Webhook(SECRET).sign("msg_1", sent, BODY),
            **{name.replace("_", "-"): value for name, value in changed.items()},
        }
        return httpx.post(f"{self._url}/alerts", content=body, headers=headers, trust_env=False).status_code


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver on a loopback port."""
    heard: list[Alert] = []
    with served(receiver_app(SECRET, heard.append)) as url:
        yield Receiver(url, heard)


def test_hears_signed_alerts(receiver: Receiver) -> None:
    """A signed payload is taken with 204, and each of its alerts is heard with name, status and summary."""
    assert receiver.post(BODY) == 204
    assert receiver.heard == [Alert("a", "firing", "fell"), Alert("b", "resolved", "")]


def test_hears_a_repeat_once(receiver: Receiver) -> None:
    """A second delivery of the same webhook id is acknowledged and not heard again."""
    assert [receiver.post(BODY), receiver.post(BODY)] == [204, 204]
    assert len(receiver.heard) == 2


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (BODY.replace("firing", "resolved"), {}),
        (BODY, {"webhook_id": "msg_2"}),
        (BODY, {"webhook_signature": "v1,AAAA"}),
        (BODY, {"webhook_signature": "nonsense"}),
        (BODY, {"webhook_signature": "v1,%%%"}),
        (BODY, {"webhook_timestamp": "1000"}),
    ],
)
def test_refuses_what_its_secret_did_not_sign(receiver: Receiver, body: str, headers: dict[str, Any]) -> None:
    """A changed body, id or signature, or an old timestamp is answered with 401 and not heard."""
    assert receiver.post(body, **headers) == 401
    assert receiver.heard == []


def test_secrets_differ() -> None:
    """Every run has a signing key of its own."""
    assert new_secret() != new_secret()


def test_inbox_tells_the_last_status_of_the_demos_alert() -> None:
    """Heartbeats do not hide what was last heard of the alert; before the first there is no status."""
    inbox = Inbox()
    assert inbox.last_status() == ""
    inbox.alerts.extend([Alert(ALERT, "firing", ""), Alert(ALERT, "resolved", ""), Alert("heartbeat", "firing", "")])
    assert inbox.last_status() == "resolved"
