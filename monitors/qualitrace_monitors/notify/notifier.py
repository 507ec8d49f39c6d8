"""Delivery: posts what is due, signed by Standard Webhooks, and tries again until it arrived or was given up.

A message is deleted after the receiver's 2xx; after a crash in between it is sent again with the same
`webhook-id`. Per receiver the order is kept: while one message waits for its next attempt, the later ones wait too.
"""

import logging
import secrets
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal

import httpx
from standardwebhooks import Webhook

from qualitrace_collector.state import Database
from qualitrace_monitors.notify.outbox import Message, Outbox
from qualitrace_monitors.notify.settings import WebhookConfig
from qualitrace_monitors.retry_after import seconds_asked

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 300.0
BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
"""The answers whose Retry-After is honoured."""

NotificationOutcome = Literal["sent", "failed", "given_up"]
"""`failed` counts attempts that will be repeated; the others count messages."""

_log = logging.getLogger(__name__)
_random = secrets.SystemRandom()


class _Refused(Exception):
    """The receiver could not be reached or did not take the message."""

    def __init__(self, reason: str, retry_after: float = 0.0, *, gone: bool = False) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.gone = gone


class Notifier:
    """Delivers the outbox to the receivers of the configuration, from one thread."""

    def __init__(self, receivers: Mapping[str, WebhookConfig], database: Database) -> None:
        self._receivers = receivers
        self._outbox = Outbox(database)
        self._totals: Counter[tuple[str, NotificationOutcome]] = Counter()

    @property
    def notifications(self) -> dict[tuple[str, NotificationOutcome], int]:
        """Totals by (receiver, outcome) since this process started."""
        return dict(self._totals)

    def deliver_due(self, now: float) -> None:
        """Post every message that is due at `now`, in Unix seconds; returns after one failure a receiver."""
        for name in self._outbox.receivers():
            while (message := self._outbox.first(name)) and message.due_at <= now:
                self._settle(message, now)

    def _settle(self, message: Message, now: float) -> None:
        """Try once: the message leaves the outbox, or is due later."""
        receiver = self._receivers.get(message.receiver)
        if receiver is None:
            self._give_up(message, "no longer in the configuration")
            return
        try:
            _post(receiver, message, now)
        except _Refused as refused:
            deadline = message.created_at + receiver.give_up_after
            if refused.gone or now >= deadline:
                self._give_up(message, str(refused))
                return
            self._totals[message.receiver, "failed"] += 1
            delay = max(backoff(message.attempts + 1), refused.retry_after)
            self._outbox.postpone(message, min(now + delay, deadline), str(refused))
        else:
            self._outbox.remove(message)
            self._totals[message.receiver, "sent"] += 1

    def _give_up(self, message: Message, reason: str) -> None:
        self._outbox.remove(message)
        self._totals[message.receiver, "given_up"] += 1
        _log.error(
            "gave up notification %s to %r after %d failed attempts: %s",
            message.id,
            message.receiver,
            message.attempts,
            reason,
        )


def backoff(attempt: int) -> float:
    """Seconds to wait after failed attempt number `attempt`, from 1: doubling, capped, the half of it random."""
    longest = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** min(attempt - 1, 30))
    return _random.uniform(longest / 2, longest)


def _post(receiver: WebhookConfig, message: Message, now: float) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": "qualitrace", **_signed(receiver, message, now)}
    try:
        # Only the status is read; and a redirect could carry the alert to another host.
        with httpx.stream(
            "POST",
            str(receiver.url),
            content=message.body.encode(),
            headers=headers,
            timeout=receiver.timeout,
            follow_redirects=False,
        ) as response:
            if not response.is_success:
                raise _Refused(
                    f"the receiver answered {response.status_code}",
                    _retry_after(response, now),
                    gone=response.status_code == HTTPStatus.GONE,
                )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _Refused(f"{type(error).__name__}: {error}") from None


def _signed(receiver: WebhookConfig, message: Message, now: float) -> dict[str, str]:
    """Headers by https://www.standardwebhooks.com; without a secret all but the signature."""
    headers = {"webhook-id": message.id, "webhook-timestamp": str(int(now))}
    if receiver.secret is not None:
        webhook = Webhook(receiver.secret.get_secret_value())
        signature = webhook.sign(message.id, datetime.fromtimestamp(now, UTC), message.body)
        headers["webhook-signature"] = signature
    return headers


def _retry_after(response: httpx.Response, now: float) -> float:
    """Seconds that a busy receiver asks for; 0 if it asks for none."""
    asked = seconds_asked(response.headers.get("Retry-After"), now) if response.status_code in BUSY else None
    return asked or 0.0
