"""What receivers over HTTP share: authentication, the allowed addresses, and what an answer means."""

import socket
import ssl
from collections.abc import Iterator, Mapping
from http import HTTPStatus

import httpx
from pydantic import AnyHttpUrl, Field, SecretStr, model_validator

from qualitrace_collector.config.values import Duration, HeaderSecret
from qualitrace_collector.process.backoff import seconds_asked
from qualitrace_monitors.http_client.address_guard import AddressRefused, guarded, refused_literal
from qualitrace_monitors.http_client.deadline import DeadlineClient
from qualitrace_monitors.notify.receiver import UNREACHABLE, DeliveryFailed, Receiver, one_line

MAX_PAUSE = 600.0
"""Seconds: a receiver that asks for a longer pause is often back sooner, and an alert is of use only in time."""
ANSWER_BYTES = 2048
"""How much of an answer is read, to say why it refuses."""

# The statuses among 4xx that say "not now" instead of "not this".
_TRY_AGAIN = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class HttpReceiver(Receiver):
    """A receiver that is posted JSON."""

    username: str | None = None
    """The user for Basic authentication, with `password`."""
    password: SecretStr | None = None
    """The password for Basic authentication."""
    bearer_token: HeaderSecret | None = None
    """The token that is sent as `Authorization: Bearer`."""
    timeout: Duration = Field(default=10.0, gt=0, le=60)
    """How long one attempt may take."""
    allow_local: bool = False
    """Whether it may be at a link-local or metadata address, and a name at loopback
    ([why](../how-to/receivers.md))."""

    @model_validator(mode="after")
    def _has_one_way_to_authenticate(self) -> "HttpReceiver":
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together: give both or none")
        if self.password is not None and not self.password.get_secret_value():
            raise ValueError("password: is empty: give it, or leave username and password out")
        if self.username is not None and self.bearer_token is not None:
            raise ValueError("username and bearer_token are two ways to authenticate: leave one of them out")
        return self

    def check_address(self, key: str, url: AnyHttpUrl) -> None:
        """Check a URL of the settings as far as it can be without DNS.

        Raises:
            ValueError: it is not allowed.
        """
        host = (url.host or "").strip("[]")
        if not self.allow_local and (why := refused_literal(host)):
            raise ValueError(f"{key}: {host} is {why}; set allow_local: true if that is meant")

    def post(self, url: str, body: str, now: float, headers: Mapping[str, str] | None = None) -> str:
        """Post JSON once, at `now` (Unix seconds); return the answer in a few words.

        Raises:
            DeliveryFailed: it was not taken.
        """
        sent = {"Content-Type": "application/json", "User-Agent": "qualitrace", "Accept-Encoding": "identity"}
        if self.bearer_token is not None:
            sent["Authorization"] = f"Bearer {self.bearer_token.get_secret_value()}"
        auth = None
        if self.username is not None and self.password is not None:
            auth = httpx.BasicAuth(self.username, self.password.get_secret_value())
        try:
            # A redirect could carry the alert to another host, so none is followed.
            with (
                DeadlineClient(self.timeout, None if self.allow_local else guarded) as client,
                client.stream(
                    "POST", url, content=body.encode(), headers={**sent, **(headers or {})}, auth=auth
                ) as got,
            ):
                return _taken(got, now)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DeliveryFailed(f"{type(error).__name__}: {error}", problem=_problem(error)) from None


def _taken(response: httpx.Response, now: float) -> str:
    status = f"{response.status_code} {response.reason_phrase}".strip()
    if response.is_success:
        return status  # its body is not awaited: what counts is that it took the notification
    said = _beginning(response)
    busy = response.status_code in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
    asked = seconds_asked(response.headers.get("Retry-After"), now) if busy else None
    raise DeliveryFailed(
        f"the receiver answered {response.status_code}" + (f": {said}" if said else ""),
        min(asked or 0.0, MAX_PAUSE),
        permanent=is_refusal(response.status_code),
        problem=f"it answers {response.status_code}",
    )


def is_refusal(status: int) -> bool:
    """Whether an HTTP status says that the same notification will never be taken."""
    return 400 <= status < 500 and status not in _TRY_AGAIN


def _beginning(response: httpx.Response) -> str:
    """Return the beginning of a body; empty if it cannot be read."""
    read = b""
    try:
        for piece in response.iter_raw(ANSWER_BYTES):
            read += piece
            if len(read) >= ANSWER_BYTES:
                break
    except httpx.HTTPError:
        pass  # the status says that it refused
    return one_line(read[:ANSWER_BYTES].decode("utf-8", "replace"))


_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (AddressRefused, "its address is not allowed: see the log"),
    (httpx.TimeoutException, "it does not answer in time"),
    (ssl.SSLError, "TLS fails: see the log"),
    (socket.gaierror, "its name cannot be resolved"),
    (ConnectionRefusedError, "it refuses connections"),
)


def _problem(error: BaseException) -> str:
    """Say why a call failed in words without addresses."""
    chain = list(_causes(error))
    return next((words for kind, words in _CAUSES if any(isinstance(cause, kind) for cause in chain)), UNREACHABLE)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
