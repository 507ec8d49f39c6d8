"""The section `telemetry`: where the server's own spans and metrics go."""

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import unquote

from opentelemetry.util.re import parse_env_headers
from pydantic import AnyHttpUrl, Field, SecretStr, field_validator

from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import Duration
from qualitrace_collector.masking import remember_secret

_FORM = "must read like NAME=VALUE,NAME=VALUE, in ASCII and on one line; a comma in a value is %2C"
_PRINTABLE = re.compile(r"[ -~]*")
_HEADERS = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=[ -~]+")


class Telemetry(Section):
    """The server's own spans and metrics, sent to an OpenTelemetry Collector or backend.

    Off without `endpoint`, and where the server's environment has `OTEL_SDK_DISABLED=true`.
    """

    endpoint: AnyHttpUrl | None = None
    """The URL that takes OTLP over HTTP, without `/v1/traces`. Not a port of qualitrace itself."""
    headers: SecretStr | None = None
    """Headers of each request, as `OTEL_EXPORTER_OTLP_HEADERS` has them: `authorization=Bearer TOKEN,x-team=search`."""
    signals: tuple[Literal["traces", "metrics"], ...] = ("traces", "metrics")
    """What is sent."""
    sample: float = Field(default=0.1, ge=0, le=1)
    """The share of batches, calls of judges and deliveries of which spans are sent."""
    interval: Duration = Field(default=60.0, ge=1)
    """The time between two exports of metrics."""

    @field_validator("endpoint")
    @classmethod
    def _is_bare(cls, endpoint: AnyHttpUrl | None) -> AnyHttpUrl | None:
        if endpoint and (endpoint.username or endpoint.password or endpoint.query or endpoint.fragment):
            raise ValueError("must be a URL without user, password, ? and #; credentials go into headers")
        return endpoint

    @field_validator("headers")
    @classmethod
    def _can_be_read(cls, headers: SecretStr | None) -> SecretStr | None:
        parts = headers.get_secret_value().split(",") if headers else ()
        if not all(_HEADERS.fullmatch(part.strip()) for part in parts):
            raise ValueError(_FORM)
        for part in parts:  # each alone may stand in a text that is to be masked
            value = unquote(part.partition("=")[2].strip())
            if not _PRINTABLE.fullmatch(value):
                raise ValueError(_FORM)
            remember_secret(value.removeprefix("Bearer "))
        return headers

    @property
    def sent_headers(self) -> Mapping[str, str]:
        """The headers by their names."""
        return parse_env_headers(self.headers.get_secret_value(), liberal=True) if self.headers else {}
