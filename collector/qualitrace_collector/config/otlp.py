"""The section `otlp`: who may send to the OTLP doors, and how much of this machine senders may hold."""

import hashlib
import re
import ssl
from pathlib import Path

import limits
from pydantic import ByteSize, Field, SecretStr, field_validator, model_validator

from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import Duration, Identifier

_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_B64TOKEN = re.compile(r"^[A-Za-z0-9._~+/-]+=*$")


class OtlpToken(Section):
    """A bearer token that a sender proves itself with: the token, or only its digest.

    The digest has no salt, so tokens should be random (`openssl rand -base64 32`), not made up.
    """

    sha256: str | None = Field(default=None, description="what `printf %s TOKEN | sha256sum` prints")
    token: SecretStr | None = None
    tenant: Identifier | None = Field(default=None, description="owner of the traces sent with this token")

    @field_validator("sha256")
    @classmethod
    def _is_digest(cls, digest: str | None) -> str | None:
        if digest is not None and not _SHA256.match(digest.lower()):
            raise ValueError("must be 64 hexadecimal digits: what `printf %s TOKEN | sha256sum` prints")
        return digest

    @field_validator("token")
    @classmethod
    def _fits_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        """Hold the token to the b64token syntax of https://www.rfc-editor.org/rfc/rfc6750#section-2.1."""
        if token is not None and not _B64TOKEN.match(token.get_secret_value()):
            raise ValueError("must be letters, digits, -._~+/ and = at the end, as openssl rand -base64 32 prints")
        return token

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
    key_file: Path
    client_ca_file: Path | None = None

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


class Otlp(Section):
    """What both OTLP doors ask of senders."""

    tokens: tuple[OtlpToken, ...] = Field(default=(), description="a request needs one of them, if there are any")
    tls: Tls | None = None
    allow_unauthenticated: bool = Field(default=False, description="beyond loopback too, on networks that are trusted")
    header_timeout: Duration = Field(default=10.0, gt=0, description="from connection to the end of a request's head")
    body_timeout: Duration = Field(default=30.0, gt=0, description="from there to the end of its body")
    idle_timeout: Duration = Field(default=75.0, ge=1, description="between requests; exporters send each 60 s or less")
    max_connections: int = Field(default=16_384, ge=1, description="at each door")
    max_memory: ByteSize = Field(default=ByteSize(512 << 20), description="of requests that are not journalled yet")

    feedback_rate: str = Field(default="600/minute", description="opinions that one sender may give")

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
