"""The kind `webhook`: any HTTP endpoint."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Literal

import standardwebhooks
from pydantic import AnyHttpUrl, SecretStr, field_validator, model_validator

from qualitrace_monitors.notify.http_receiver import HttpReceiver
from qualitrace_monitors.notify.receiver import Answer, Notification


class Webhook(HttpReceiver):
    """An HTTP endpoint that is posted Alertmanager's webhook payload, signed by Standard Webhooks."""

    kind: Literal["webhook"] = "webhook"
    """Alertmanager's webhook payload, version 4, is posted."""
    url: AnyHttpUrl
    """Where it is posted."""
    secret: SecretStr | None = None
    """The key that signs, by Standard Webhooks: `whsec_` and base64. Without it nothing is signed."""

    @field_validator("secret")
    @classmethod
    def _is_signing_key(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not _is_signing_key(secret.get_secret_value()):
            raise ValueError("must be whsec_ followed by base64, for example whsec_$(openssl rand -base64 32)")
        return secret

    @model_validator(mode="after")
    def _has_allowed_address(self) -> "Webhook":
        self.check_address("url", self.url)
        return self

    def deliver(self, notification: Notification, now: float) -> Answer:
        """Post the body."""
        headers = {"webhook-id": notification.id, "webhook-timestamp": str(int(now))}
        if self.secret is not None:
            key = standardwebhooks.Webhook(self.secret.get_secret_value())
            at = datetime.fromtimestamp(now, UTC)
            headers["webhook-signature"] = key.sign(notification.id, at, notification.body)
        return Answer(self.post(str(self.url), notification.body, now, headers))


def _is_signing_key(text: str) -> bool:
    """Whether `text` is a Standard Webhooks key: `whsec_` and base64, with or without padding."""
    key = text.removeprefix("whsec_")
    try:
        return key != text and base64.b64decode(key + "=" * (-len(key) % 4), validate=True) != b""
    except (binascii.Error, ValueError):
        return False
