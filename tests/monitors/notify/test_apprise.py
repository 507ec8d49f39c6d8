"""Notifications by the real library Apprise, to a real HTTP server where the service is one."""

import json
import logging
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from qualitrace_collector.config import ConfigError, parse_config
from qualitrace_monitors.config import Config
from qualitrace_monitors.notify.apprise_process import Guard, hosts_of
from qualitrace_monitors.notify.payload import Alert, Links, webhook_payload
from qualitrace_monitors.notify.receiver import DeliveryFailed, Notification
from qualitrace_monitors.notify.receivers import Receiver
from support.listening import listening
from support.ports import free_port

KEY = "k3y-of-the-channel"
LABELS = {"alertname": "low", "service": "shop", "severity": "page"}
TEXTS = {"summary": "it fell", "description": "it fell. Worst traces:\n- tr-1", "runbook_url": "https://wiki/low"}


def configured(url: str, **settings: object) -> Receiver:
    raw = {"notify": {"chat": {"kind": "apprise", "url": url, **settings}}}
    return parse_config(raw, Config).notify["chat"]


def send(receiver: Receiver, **changes: Any) -> str:
    alert = Alert(**{"labels": LABELS, "annotations": TEXTS, "starts_at": 0.0, **changes})
    body = webhook_payload(alert, "chat", Links("http://127.0.0.1:9464"))
    notification = Notification(id="msg_1", receiver="chat", body=body, created_at=0.0, due_at=0.0, attempts=0)
    return receiver.deliver(notification, time.time()).text


@pytest.fixture
def chat_url(webhook_receiver: Any) -> str:
    """Return the URL of a service that takes JSON."""
    return f"json://127.0.0.1:{webhook_receiver.port}/{KEY}"


@pytest.mark.slow
def test_what_fires_and_ends_is_told_in_words(webhook_receiver: Any, chat_url: str) -> None:
    """Title, the numbers and each address once, and Apprise's kind, by which chats choose a colour."""
    receiver = configured(chat_url)
    page = "http://127.0.0.1:9464/alerts/event/1"
    texts = {**TEXTS, "description": f"it fell.\nThe alert's page: {page}\n- tr-1", "alert_page": page}
    assert "JSON" in send(receiver, annotations=texts)
    send(receiver, ends_at=60.0, annotations={"summary": "it recovered", "description": "it recovered."})
    send(receiver, labels={"alertname": "QualitraceHeartbeat", "severity": "none"}, annotations={"summary": "alive"})
    told = [json.loads(body) for _, body in webhook_receiver.received]
    assert [(each["title"], each["message"], each["type"]) for each in told] == [
        (
            "firing: low of shop",
            f"it fell.\nThe alert's page: {page}\n- tr-1\n\nrunbook_url: https://wiki/low",
            "failure",
        ),
        ("resolved: low of shop", "it recovered.", "success"),
        ("firing: QualitraceHeartbeat", "alive", "info"),
    ]


@pytest.mark.slow
def test_what_is_too_long_for_a_service_is_cut(webhook_receiver: Any) -> None:
    """Ntfy takes 7,800 letters: an alert with more in it arrives still."""
    texts = {"summary": "it fell", "description": "it fell. " + "x" * 9000}
    send(configured(f"ntfy://127.0.0.1:{webhook_receiver.port}/topic"), annotations=texts)
    [(_, body)] = webhook_receiver.received
    message = json.loads(body)["message"]
    assert message.startswith("it fell. xxx")
    assert len(message) <= 7800


@pytest.mark.slow
@pytest.mark.parametrize(("status", "permanent"), [(500, False), (429, False), (403, True)])
def test_the_reason_is_what_apprise_logged(status: int, permanent: bool, webhook_receiver: Any, chat_url: str) -> None:
    """With the status that says whether to try again, and without the keys in the URL."""
    webhook_receiver.answers = [(status, {})]
    with pytest.raises(DeliveryFailed, match=f"error={status}") as caught:
        send(configured(chat_url))
    assert caught.value.permanent is permanent
    assert caught.value.problem == f"it answers {status}"
    assert KEY not in str(caught.value)


@pytest.mark.slow
def test_nobody_at_the_other_end_is_a_failure() -> None:
    """Tried again later, with a reason."""
    with pytest.raises(DeliveryFailed, match="Connection error") as caught:
        send(configured(f"json://127.0.0.1:{free_port()}/{KEY}"))
    assert not caught.value.permanent


@pytest.mark.slow
def test_a_redirect_does_not_lead_inside(webhook_receiver: Any, chat_url: str) -> None:
    """Apprise follows redirects; the connection to an address that is not allowed is refused."""
    webhook_receiver.answers = [(302, {"Location": "http://169.254.169.254/latest/meta-data"})]
    with pytest.raises(DeliveryFailed, match=r"169\.254\.169\.254 is link-local; set allow_local: true"):
        send(configured(chat_url))


@pytest.mark.parametrize(
    ("hosts", "address", "refused"),
    [
        (["hooks.example.com"], "127.0.0.1", "loopback"),
        (["hooks.example.com"], "169.254.169.254", "link-local"),
        (["hooks.example.com", "localhost"], "127.0.0.1", ""),
        ([], "::1", "loopback"),
        ([], "93.184.216.34", ""),
        (["localhost"], "hooks.example.com", "a name"),
    ],
)
def test_each_connection_is_looked_at(hosts: list[str], address: str, refused: str) -> None:
    """What a name resolved to, whichever library asks; loopback where the configuration names it."""
    guard = Guard(hosts)
    event = "socket.connect", (None, (address, 443))
    if refused:
        with pytest.raises(PermissionError, match=f"{address} is {refused}"):
            guard(*event)
    else:
        guard(*event)
    assert refused in guard.refused


@pytest.mark.slow
def test_a_service_that_does_not_answer_is_left_in_time() -> None:
    """The process is ended, however its plugin waits: byte by byte no timeout of a read would ever pass."""
    released = threading.Event()

    class Dripping(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not released.wait(0.1):
                self.wfile.write(b"x: y\r\n")

        def handle(self) -> None:
            with suppress(OSError):  # the caller leaves
                super().handle()

    with listening(Dripping) as url:
        try:
            with pytest.raises(DeliveryFailed, match="not sent within 5 s"):
                send(configured(f"{url.replace('http', 'json')}/{KEY}", timeout="5s"))
        finally:
            released.set()


@pytest.mark.parametrize(
    ("url", "mistake"),
    [
        (f"nonsense://{KEY}", "url: is no Apprise URL"),
        (f"slack://{KEY}", "url: is no Apprise URL"),
        ("", "url: is no Apprise URL"),
        (f"json://169.254.169.254/{KEY}", "url: 169.254.169.254 is link-local; set allow_local: true"),
        (f"mailto://u:{KEY}@example.com?smtp=169.254.0.1", "url: 169.254.0.1 is link-local; set allow_local: true"),
    ],
)
def test_a_url_that_cannot_be_used_is_a_mistake(
    url: str, mistake: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unseen: neither the message nor the log has the keys in it."""
    logging.getLogger("apprise").setLevel(logging.DEBUG)
    with pytest.raises(ConfigError) as caught:
        configured(url)
    [found] = caught.value.mistakes
    assert found.startswith(f"notify.chat: {mistake}")
    assert KEY not in found + caplog.text + "".join(capsys.readouterr())


def test_services_with_hosts_of_their_own_need_none() -> None:
    """What stands in the place of a host is a key there."""
    assert hosts_of("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops") == []
    assert hosts_of("mailtos://u:p@example.com?smtp=mx.example.com") == ["example.com", "mx.example.com"]
