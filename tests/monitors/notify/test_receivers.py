"""What each kind of receiver is configured with, and how a notification is delivered to it."""

import base64
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as StandardWebhook

from qualitrace_collector.config import ConfigError, load_config, parse_config
from qualitrace_monitors.config import Config
from qualitrace_monitors.notify import http_receiver, receivers
from qualitrace_monitors.notify.receiver import Answer, DeliveryFailed, Notification
from qualitrace_monitors.notify.receivers import Receiver, Webhook
from support.listening import listening

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


def notification(body: str = "{}") -> Notification:
    return Notification(id="msg_1", receiver="ops", body=body, created_at=0.0, due_at=0.0, attempts=0)


def configured(**settings: object) -> Receiver:
    """Read the settings of a receiver from a configuration."""
    return parse_config({"notify": {"ops": settings}}, Config).notify["ops"]


def mistakes(**settings: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        configured(**settings)
    return caught.value.mistakes


def test_a_webhook_is_posted_with_a_valid_signature(webhook_receiver: Any) -> None:
    """The receiver can verify the body by Standard Webhooks, which refuse times that are five minutes off."""
    configured(url=webhook_receiver.url, secret=SECRET).deliver(notification('{"summary": "fiel – ü"}'), time.time())
    [(headers, body)] = webhook_receiver.received
    assert StandardWebhook(SECRET).verify(body, headers) == {"summary": "fiel – ü"}
    assert headers["content-type"] == "application/json"


def test_without_a_secret_nothing_is_signed(webhook_receiver: Any) -> None:
    """The id and the time are sent still, the signature is not."""
    configured(url=webhook_receiver.url).deliver(notification(), 5.9)
    [(headers, _)] = webhook_receiver.received
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_1", "5")
    assert "webhook-signature" not in headers


def test_a_redirect_is_not_followed(webhook_receiver: Any) -> None:
    """An alert goes to the configured address only; a redirect is a failed attempt."""
    webhook_receiver.answers = [(307, {"Location": webhook_receiver.url + "/elsewhere"})]
    with pytest.raises(DeliveryFailed, match="answered 307"):
        configured(url=webhook_receiver.url).deliver(notification(), 0.0)
    assert len(webhook_receiver.received) == 1


def test_a_receiver_that_asks_for_a_long_pause_is_tried_sooner(webhook_receiver: Any) -> None:
    """A slip in its Retry-After must not hold alerts back until they are given up."""
    webhook_receiver.answers = [(503, {"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"})]
    with pytest.raises(DeliveryFailed) as caught:
        configured(url=webhook_receiver.url).deliver(notification(), 0.0)
    assert caught.value.retry_after == http_receiver.MAX_PAUSE


@pytest.mark.parametrize("piece", [b"x: y\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_a_receiver_that_answers_without_end_is_left_in_time(piece: bytes) -> None:
    """Each byte in time, but the answer never: the notifications of all receivers would wait for it."""
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" if piece.startswith(b"x") else b"")
            with suppress(OSError):
                while not released.wait(0.05):
                    self.wfile.write(piece)

    with listening(Handler) as url:
        try:
            with pytest.raises(DeliveryFailed, match="Timeout"):
                configured(url=url, timeout="500ms").deliver(notification(), 0.0)
        finally:
            released.set()


@given(st.binary(min_size=1), st.booleans())
def test_a_base64_secret_is_taken(key: bytes, padded: bool) -> None:
    """Any key in base64 behind whsec_ is a secret, with padding or without."""
    text = base64.b64encode(key).decode()
    webhook = configured(url="http://127.0.0.1/", secret="whsec_" + (text if padded else text.rstrip("=")))
    assert isinstance(webhook, Webhook)
    assert webhook.secret is not None


@pytest.mark.parametrize("secret", ["whsec_", "c2VjcmV0", "whsec_not base64!", "whsec_é", "whsec_abcde"])
def test_a_secret_that_cannot_sign_is_refused_unseen(secret: str) -> None:
    """The error names the place and the remedy, and does not repeat the secret."""
    [mistake] = mistakes(url="http://127.0.0.1/", secret=secret)
    assert mistake.startswith("notify.ops.secret: must be whsec_ followed by base64")
    assert secret == "whsec_" or secret not in mistake


@pytest.mark.parametrize(
    "settings", ["secret:", "secret_file:", "secret: ''", "secret: ${env:QT_EMPTY}", "secret_file: /dev/null"]
)
def test_a_secret_that_is_empty_is_a_mistake(settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever left it empty, a template, a variable or a file: never an unsigned webhook."""
    monkeypatch.setenv("QT_EMPTY", "")
    (path := tmp_path / "q.yaml").write_text(f"notify:\n  ops:\n    url: http://127.0.0.1/\n    {settings}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, Config)
    [mistake] = caught.value.mistakes
    assert mistake.startswith("notify.ops")
    assert "secret" in mistake


class Pager(Receiver):
    """A kind that is not built in."""

    kind: Literal["pager"]
    number: int

    def deliver(self, notification: Notification, now: float) -> Answer:
        raise DeliveryFailed(f"{self.number} is busy")


def test_each_kind_has_its_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read and checked by `kind`; mistakes are at their places, and name the keys and kinds there are."""
    monkeypatch.setitem(receivers.KINDS, "pager", Pager)
    pager = configured(kind="pager", number=7, give_up_after="1h")
    assert pager.give_up_after == 3600
    with pytest.raises(DeliveryFailed, match="7 is busy"):
        pager.deliver(notification(), 0.0)
    assert mistakes(kind="pager", nummer=7) == [
        "notify.ops.number: is required",
        "notify.ops: unknown key 'nummer', did you mean 'number'?",
    ]
    [mistake] = mistakes(kind="fax")
    assert mistake.startswith("notify.ops.kind: must be 'webhook' or ")
    assert mistake.endswith("'pager' (got 'fax')")
