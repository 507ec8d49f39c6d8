"""The sections `listen` and `otlp`: where the doors are, who may send, and how much senders may hold."""

import hashlib
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import limits
from pydantic import (
    AnyHttpUrl,
    ByteSize,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    field_validator,
    model_validator,
)

from qualitrace_collector.config.section import Mistake, Section, validate_with
from qualitrace_collector.config.values import LOOPBACK, Address, Duration, HeaderSecret, Identifier, split_address
from qualitrace_collector.journal.settings import Journal

_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_ORIGIN = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?$")


LONGEST_URL = 250


class Listen(Section):
    """Where the doors are. Loopback by default; elsewhere they need tokens."""

    otlp_http: Address = "127.0.0.1:4318"
    """The address that receives OTLP over HTTP, as protobuf or JSON."""
    otlp_grpc: Address = "127.0.0.1:4317"
    """The address that receives OTLP over gRPC."""
    web: Address = "127.0.0.1:9464"
    """The address of `/metrics`, `/healthz`, `/readyz` and the dashboard. Other than loopback it needs `web_token`."""
    max_request_size: ByteSize = Field(default=ByteSize(64 << 20), ge=1, le=128 << 20)
    """A larger OTLP request, as sent or decompressed, is refused for good."""
    web_external_url: AnyHttpUrl | None = None
    """The URL at which readers of notifications reach the web port, if it is not `listen.web`."""
    web_token: HeaderSecret | None = None
    """The token for the web port, sent as Bearer or as the password of Basic authentication."""
    web_read_token: HeaderSecret | None = None
    """A second token, with which readers see everything but cannot label, test receivers or reload."""
    web_personal_data: Literal["masked", "shown"] = "masked"
    """`shown` shows texts as they are to those who send `web_token`; others see personal data and secrets masked."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names that the web and OTLP/HTTP ports answer to. Without any, OTLP beyond loopback answers to all."""

    @field_validator("web_external_url")
    @classmethod
    def _is_short(cls, url: AnyHttpUrl | None) -> AnyHttpUrl | None:
        if url is not None and len(str(url)) > LONGEST_URL:
            raise ValueError(f"must be at most {LONGEST_URL} letters, since it stands in every link of a notification")
        return url

    @model_validator(mode="after")
    def _has_a_token_to_act(self) -> "Listen":
        if self.web_read_token is not None and self.web_token is None:
            raise ValueError("web_read_token needs web_token, or nobody could act")
        return self

    @property
    def web_url(self) -> str:
        """Where readers of notifications find the web port, without a slash at the end."""
        return str(self.web_external_url or f"http://{self.web}").rstrip("/")


class OtlpToken(Section):
    """A bearer token that a sender proves itself with: the token, or only its digest.

    The digest has no salt, so tokens should be random (`openssl rand -base64 32`), not made up.
    """

    sha256: str | None = None
    """The token's SHA-256 in hexadecimal digits ([how to make it](../how-to/security.md#otlp))."""
    token: HeaderSecret | None = None
    """The token itself, instead of its digest."""
    tenant: Identifier | None = None
    """The owner of the traces sent with this token. Other tenants cannot add to them."""

    @field_validator("sha256")
    @classmethod
    def _is_digest(cls, digest: str | None) -> str | None:
        if digest is not None and not _SHA256.match(digest.lower()):
            raise ValueError("must be 64 hexadecimal digits: what `printf %s TOKEN | sha256sum` prints")
        return digest

    @model_validator(mode="after")
    def _has_one_form(self) -> "OtlpToken":
        if (self.sha256 is None) == (self.token is None):
            raise ValueError("needs one of sha256, token and token_file")
        return self

    @property
    def digest(self) -> bytes:
        """The token's SHA-256."""
        if self.token is not None:
            return hashlib.sha256(self.token.get_secret_value().encode()).digest()
        return bytes.fromhex(self.sha256 or "")


class Tls(Section):
    """Certificates in PEM files, read at the start. With `client_ca_file` senders must have one from that CA."""

    cert_file: Path
    """The server's certificate with its chain, in PEM."""
    key_file: Path
    """The certificate's key, in PEM, without a passphrase."""
    client_ca_file: Path | None = None
    """Senders must show a certificate of this CA."""

    @model_validator(mode="after")
    def _can_be_loaded(self) -> "Tls":
        for name in ("cert_file", "key_file", "client_ca_file"):
            try:
                if path := getattr(self, name):
                    path.read_bytes()
            except OSError as error:
                raise ValueError(f"{name}: cannot read {error.filename}: {error.strerror}") from None
        try:
            self.context()
        except ssl.SSLError as error:
            reason = (error.reason or "not PEM").replace("_", " ").lower()
            raise ValueError(
                f"cannot be used: {reason}; give PEM files: cert_file with the whole chain, key_file with its key "
                "(without a passphrase), client_ca_file with the CA's certificate"
            ) from None
        return self

    def context(self) -> ssl.SSLContext:
        """Make the server's side of TLS, with Python's defaults: 1.2 or newer.

        Raises:
            ssl.SSLError: the files do not fit together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert_file, self.key_file, password="")  # or OpenSSL would ask for it
        if self.client_ca_file is not None:
            context.load_verify_locations(self.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class ItemLimits(Section):
    """What a request may hold, whatever its size. OpenTelemetry's SDKs keep to a hundredth of it by default."""

    items: int = Field(default=400_000, ge=1)
    """Spans, log records, events, links, attributes and values in lists of a request. Beyond it, it is refused."""
    spans: int = Field(default=20_000, ge=1)
    """Spans, or log records, of a request. Further ones are rejected."""
    span_size: ByteSize = Field(default=ByteSize(8 << 20), ge=1)
    """Size of a span or log record. A larger one is rejected."""
    trace_size: ByteSize = Field(default=ByteSize(12 << 20), ge=1)
    """Size of the spans of one trace in a request. Further ones are rejected."""
    json_size: ByteSize = Field(default=ByteSize(8 << 20), ge=1)
    """Size of a request in JSON, which takes many times the memory of protobuf. A larger one is refused for good."""
    attributes: int = Field(default=12_800, ge=1)
    """Attributes of a span, an event, a link or a log record. With more, the span or record is rejected."""
    shared_attributes: int = Field(default=1_000, ge=1)
    """Attributes of a resource or a scope, which are read for each trace. With more, its spans are rejected."""
    shared_size: ByteSize = Field(default=ByteSize(256 << 10), ge=1)
    """Size of a resource or a scope. The spans of a larger one are rejected."""
    events: int = Field(default=12_800, ge=1)
    """Events of a span. One with more is rejected."""
    links: int = Field(default=12_800, ge=1)
    """Links of a span. One with more is rejected."""


class Otlp(Section):
    """What both OTLP doors ask of senders."""

    tokens: tuple[OtlpToken, ...] = ()
    """Bearer tokens. If there are any, each OTLP request needs one of them."""
    tls: Tls | None = None
    """TLS at both OTLP ports."""
    allow_unauthenticated: bool = False
    """Allow addresses other than loopback without tokens or `client_ca_file`, on a network that is trusted."""
    header_timeout: Duration = Field(default=10.0, gt=0)
    """The time from the connection to the end of a request's head, with the TLS handshake."""
    body_timeout: Duration = Field(default=30.0, gt=0)
    """The time from there to the end of the request's body."""
    idle_timeout: Duration = Field(default=75.0, ge=1)
    """The time between two requests on a connection. Exporters send each minute or more often."""
    max_connections: int = Field(default=16_384, ge=1)
    """Connections at each OTLP port. Beyond it, those that wait for their client are closed first."""
    limits: ItemLimits = ItemLimits()
    """What a request may hold."""
    max_memory: ByteSize = ByteSize(256 << 20)
    """Memory for requests that are not in the journal yet. Beyond it, requests get 503 or UNAVAILABLE."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of web pages that may send over HTTP, such as `https://shop.example`. Other pages' requests get 403."""
    feedback_rate: str = "600/minute"
    """Feedback that one token, or without tokens one address, may send. Beyond it, feedback gets 429."""

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.match(origin):
                raise ValueError(f"must be origins such as https://shop.example, without a path (got {origin!r})")
        return tuple(origin.lower() for origin in origins)  # as browsers send them

    @field_validator("feedback_rate")
    @classmethod
    def _is_rate(cls, rate: str) -> str:
        try:
            limits.parse(rate)
        except ValueError:
            raise ValueError(f"must read like 600/minute (got {rate!r})") from None
        return rate

    @model_validator(mode="after")
    def _is_consistent(self) -> "Otlp":
        if self.tokens and self.allow_unauthenticated:
            raise ValueError("tokens are set, so that every request needs one: remove allow_unauthenticated")
        if len({token.digest for token in self.tokens}) < len(self.tokens):
            raise ValueError("tokens: the same token stands twice")
        return self


class ReceiveConfig(Section):
    """The sections that the `receive` process reads; it ignores the others of the same file."""

    model_config = ConfigDict(extra="ignore")

    listen: Listen = Listen()
    """The addresses of the server."""
    otlp: Otlp = Otlp()
    """Who may send OTLP, and what senders may use of this machine."""
    data_dir: Path = Path("qualitrace-data")
    """The folder of the journal, the state database and, by default, MLflow's database."""
    journal: Journal = Journal()
    """The durable log of requests that were acked and are not stored yet."""

    @model_validator(mode="wrap")
    @classmethod
    def _has_no_open_door(cls, data: Any, validate: ModelWrapValidatorHandler["ReceiveConfig"]) -> "ReceiveConfig":
        return validate_with(_open_doors(data), validate, data)


def _open_doors(data: Any) -> Iterator[Mistake]:
    """Yield each address of the raw configuration that others reach without showing who they are."""
    listen = data.get("listen") if isinstance(data, dict) else None
    if not isinstance(listen, dict):
        return
    if not (listen.get("web_token") or listen.get("web_token_file")):
        yield from _open_door(listen, "web", "set listen.web_token (or web_token_file), or bind 127.0.0.1")
    if not _is_guarded(data.get("otlp")):
        remedy = (
            "set otlp.tokens or otlp.tls.client_ca_file, bind 127.0.0.1, "
            "or set otlp.allow_unauthenticated: true if every host that reaches it is trusted"
        )
        yield from _open_door(listen, "otlp_http", remedy)
        yield from _open_door(listen, "otlp_grpc", remedy)


def _is_guarded(otlp: Any) -> bool:
    """Whether the OTLP doors ask for proof of identity, or are open on purpose."""
    if not isinstance(otlp, dict):
        return False
    tls = otlp.get("tls")
    asks = bool(otlp.get("tokens")) or (isinstance(tls, dict) and bool(tls.get("client_ca_file")))
    return asks or otlp.get("allow_unauthenticated") is True


def _open_door(listen: dict[str, Any], door: str, remedy: str) -> Iterator[Mistake]:
    address = listen.get(door)
    if not isinstance(address, str) or ":" not in address or not address.rpartition(":")[2].isdecimal():
        return  # the field's own validator reports it
    host = split_address(address)[0]
    if host and host not in LOOPBACK:
        yield ("listen", door), f"{host} is not loopback: {remedy}"
