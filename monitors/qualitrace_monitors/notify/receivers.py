"""The kinds of receivers: what each is configured with, and how a notification is delivered to it.

To add a kind, write a subclass of `Receiver` here, with its name as the field `kind` (`kind: Literal["pager"]`), its
settings, and `deliver`, and add it to `KINDS`. The configuration then takes it under `notify`, the notifier delivers to
it with retries, and `python -m qualitrace_monitors.config.reference` lists its settings in docs/configuration.md. Its
test stands in tests/monitors/notify/test_receivers.py.
"""

import base64
import binascii
from abc import abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal

import httpx
import standardwebhooks
from pydantic import AnyHttpUrl, Field, ModelWrapValidatorHandler, SecretStr, field_validator, model_validator
from pydantic_core import InitErrorDetails, ValidationError

from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import Duration
from qualitrace_collector.masking import masked
from qualitrace_collector.process.backoff import seconds_asked
from qualitrace_monitors.http_client.deadline import DeadlineClient

MAX_PAUSE = 600.0
"""Seconds: a receiver that asks for a longer pause is often back sooner, and an alert is of use only in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A notification for one receiver.

    Attributes:
        id: the same at every attempt, so that a receiver can recognize a repeat.
        receiver: the receiver's name in the configuration.
        body: Alertmanager's webhook payload, version 4, as JSON; see `payload`.
        created_at, due_at: Unix seconds.
        attempts: how many failed.
    """

    id: str
    receiver: str
    body: str
    created_at: float
    due_at: float
    attempts: int


class DeliveryFailed(Exception):
    """The receiver could not be reached, or did not take the notification.

    Args:
        reason: what is logged.
        retry_after: the least number of seconds until the next attempt.
        permanent: no later attempt can succeed.
    """

    def __init__(self, reason: str, retry_after: float = 0.0, *, permanent: bool = False) -> None:
        super().__init__(masked(reason))  # an address may hold a token
        self.retry_after = retry_after
        self.permanent = permanent


class Receiver(Section):
    """Someone or something to notify: the settings that all kinds have."""

    give_up_after: Duration = 86_400.0
    """How long delivery is tried again, with growing pauses, before the notification is given up."""

    @abstractmethod
    def deliver(self, notification: Notification, now: float) -> None:
        """Deliver a notification once; `now` is in Unix seconds.

        Raises:
            DeliveryFailed: it was not taken.
        """
        raise NotImplementedError

    @model_validator(mode="wrap")
    @classmethod
    def _of_its_kind(cls, data: Any, validate: ModelWrapValidatorHandler["Receiver"]) -> "Receiver":
        if cls is not Receiver or not isinstance(data, dict):
            return validate(data)
        kind = data.get("kind", DEFAULT_KIND)
        if kind not in tuple(KINDS):
            expected = " or ".join(map(repr, KINDS))
            error = InitErrorDetails(type="literal_error", loc=("kind",), input=kind, ctx={"expected": expected})
            raise ValidationError.from_exception_data("receiver", [error])
        return KINDS[kind].model_validate(data)


class Webhook(Receiver):
    """An HTTP endpoint that is posted Alertmanager's webhook payload, signed by Standard Webhooks."""

    kind: Literal["webhook"] = "webhook"
    """Alertmanager's webhook payload, version 4, is posted."""
    url: AnyHttpUrl
    """Where it is posted."""
    secret: SecretStr | None = None
    """The key that signs, by Standard Webhooks: `whsec_` and base64. Without it nothing is signed."""
    timeout: Duration = Field(default=10.0, gt=0)
    """How long one attempt may take."""

    @field_validator("secret")
    @classmethod
    def _is_signing_key(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not _is_signing_key(secret.get_secret_value()):
            raise ValueError("must be whsec_ followed by base64, for example whsec_$(openssl rand -base64 32)")
        return secret

    def deliver(self, notification: Notification, now: float) -> None:
        """Post the body."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "qualitrace",
            "webhook-id": notification.id,
            "webhook-timestamp": str(int(now)),
        }
        if self.secret is not None:
            key = standardwebhooks.Webhook(self.secret.get_secret_value())
            at = datetime.fromtimestamp(now, UTC)
            headers["webhook-signature"] = key.sign(notification.id, at, notification.body)
        try:
            # The body is not read: only the status matters. A redirect could carry the alert to another host.
            with (
                DeadlineClient(self.timeout) as client,
                client.stream("POST", str(self.url), content=notification.body.encode(), headers=headers) as response,
            ):
                _check(response, now)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DeliveryFailed(f"{type(error).__name__}: {error}") from None


DEFAULT_KIND = "webhook"
KINDS: dict[str, type[Receiver]] = {"webhook": Webhook}
"""The kinds by the name that the configuration gives as `kind`."""


def _check(response: httpx.Response, now: float) -> None:
    if response.is_success:
        return
    busy = response.status_code in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
    asked = seconds_asked(response.headers.get("Retry-After"), now) if busy else None
    raise DeliveryFailed(
        f"the receiver answered {response.status_code}",
        min(asked or 0.0, MAX_PAUSE),
        permanent=response.status_code == HTTPStatus.GONE,  # Standard Webhooks: the receiver wants no more of them
    )


def _is_signing_key(text: str) -> bool:
    """Whether `text` is a Standard Webhooks key: `whsec_` and base64, with or without padding."""
    key = text.removeprefix("whsec_")
    try:
        return key != text and base64.b64decode(key + "=" * (-len(key) % 4), validate=True) != b""
    except (binascii.Error, ValueError):
        return False
