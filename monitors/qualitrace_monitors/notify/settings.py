"""The sections `notify` and `heartbeat`."""

import base64
import binascii
from typing import Literal

from pydantic import AnyHttpUrl, Field, SecretStr, field_validator

from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import Duration


class HeartbeatConfig(Section):
    """A notification sent at a steady pace: its absence says that the monitor is dead."""

    interval: Duration = Field(default=300.0, gt=0)
    notify: tuple[str, ...] = Field(min_length=1)


class WebhookConfig(Section):
    """A receiver of Alertmanager webhook v4 payloads, signed by Standard Webhooks."""

    kind: Literal["webhook"] = "webhook"
    url: AnyHttpUrl
    secret: SecretStr | None = Field(default=None, description="whsec_…: base64 of the signing key")
    timeout: Duration = Field(default=10.0, gt=0)
    give_up_after: Duration = Field(default=86_400.0, description="retry with backoff until then")

    @field_validator("secret")
    @classmethod
    def _is_signing_key(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not _is_webhook_secret(secret.get_secret_value()):
            raise ValueError("must be whsec_ followed by base64, for example whsec_$(openssl rand -base64 32)")
        return secret


def _is_webhook_secret(text: str) -> bool:
    """Tell whether `text` is a Standard Webhooks key: `whsec_` and base64, with or without padding."""
    key = text.removeprefix("whsec_")
    try:
        return key != text and base64.b64decode(key + "=" * (-len(key) % 4), validate=True) != b""
    except (binascii.Error, ValueError):
        return False
