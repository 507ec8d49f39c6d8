"""Why a request is refused, with the answer that each door gives.

RequestError           the `reason` labels the counter requests_refused
├── Unauthenticated    401, UNAUTHENTICATED
├── Undecodable        400, INVALID_ARGUMENT
├── TooManyItems       400, INVALID_ARGUMENT
├── Forbidden          403, PERMISSION_DENIED (feedback only)
├── ForeignOrigin      403, PERMISSION_DENIED (HTTP only)
├── TooSlow            408, DEADLINE_EXCEEDED
├── TooLarge           413, RESOURCE_EXHAUSTED without RetryInfo, which OTLP clients do not retry
├── Unsupported        415, INVALID_ARGUMENT
├── Misdirected        421, PERMISSION_DENIED (HTTP only)
├── RateLimited        429, RESOURCE_EXHAUSTED with a retry delay (feedback only)
└── Unavailable        503, UNAVAILABLE with a retry delay: the same request may succeed later

The codes are those of https://opentelemetry.io/docs/specs/otlp/#failures and #failures-1.
"""

from typing import ClassVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

RETRY_AFTER_SECONDS = 1
RETRY_INFO = RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_SECONDS))
MAX_MESSAGE_LENGTH = 500


class RequestError(Exception):
    """A request that is refused.

    Attributes:
        reason: its label in the counter.
        http_headers: go with the answer over HTTP.
    """

    http_status: ClassVar[int]
    rpc_code: ClassVar[int]
    reason: str
    http_headers: tuple[tuple[str, str], ...] = ()

    def __init__(self, message: str) -> None:
        super().__init__(message[:MAX_MESSAGE_LENGTH])  # it quotes what the client sent, and OTLP bounds an answer

    def _details(self) -> list[Message]:
        """Return what the status carries beside the message."""
        return []

    def __reduce__(self) -> tuple[object, ...]:
        # It is pickled where another process works on a request. Its class may take other arguments than the message.
        return _restored, (type(self), str(self)), self.__dict__

    def status(self) -> Status:
        """Return the body of the answer."""
        status = Status(code=self.rpc_code, message=str(self))
        for detail in self._details():
            status.details.add().Pack(detail)
        return status


def _restored(kind: type[RequestError], message: str) -> RequestError:
    return kind.__new__(kind, message)


class Unauthenticated(RequestError):
    """The sender does not prove who it is."""

    http_status = 401
    rpc_code = code_pb2.UNAUTHENTICATED
    reason = "unauthenticated"
    http_headers = (("WWW-Authenticate", "Bearer"),)


class Undecodable(RequestError):
    """The body is not what its headers say."""

    http_status = 400
    rpc_code = code_pb2.INVALID_ARGUMENT
    reason = "undecodable"

    def _details(self) -> list[Message]:
        return [BadRequest(field_violations=[BadRequest.FieldViolation(description=str(self))])]


class TooManyItems(Undecodable):
    """The request holds more items than the limit, whatever its size."""

    reason = "items"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"request holds more than {limit} spans, events, links, attributes and values in lists "
            "(otlp.limits.items); send smaller batches"
        )


class Forbidden(RequestError):
    """The trace belongs to another tenant."""

    http_status = 403
    rpc_code = code_pb2.PERMISSION_DENIED
    reason = "tenant"

    def __init__(self) -> None:
        super().__init__("trace belongs to another tenant")


class ForeignOrigin(RequestError):
    """The request comes from a web page that is not allowed to send."""

    http_status = 403
    rpc_code = code_pb2.PERMISSION_DENIED
    reason = "origin"


class Misdirected(RequestError):
    """The request is for a host that is not served, as after DNS rebinding."""

    http_status = 421
    rpc_code = code_pb2.PERMISSION_DENIED
    reason = "host"


class TooSlow(RequestError):
    """The body did not end within the limit, in seconds."""

    http_status = 408
    rpc_code = code_pb2.DEADLINE_EXCEEDED
    reason = "slow"
    http_headers = (("Connection", "close"),)

    def __init__(self, limit: float) -> None:
        super().__init__(f"body did not end within {limit:g} s; send smaller batches")


class TooLarge(RequestError):
    """The body, as sent or decompressed, is larger than the limit, in bytes."""

    http_status = 413
    rpc_code = code_pb2.RESOURCE_EXHAUSTED
    reason = "too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"request is larger than {limit} bytes; send smaller batches")


class Unsupported(RequestError):
    """The content type or encoding is not known."""

    http_status = 415
    rpc_code = code_pb2.INVALID_ARGUMENT
    reason = "unsupported"


class RateLimited(RequestError):
    """The sender is over its rate; it may try again after `retry_after` seconds."""

    http_status = 429
    rpc_code = code_pb2.RESOURCE_EXHAUSTED
    reason = "rate"

    def __init__(self, rate: str, retry_after: int) -> None:
        super().__init__(f"more feedback than {rate} (otlp.feedback_rate); try again in {retry_after} s")
        self.http_headers = (("Retry-After", str(retry_after)),)


class Unavailable(RequestError):
    """Nothing is wrong with the request, but it cannot be kept now."""

    http_status = 503
    rpc_code = code_pb2.UNAVAILABLE
    http_headers = (("Retry-After", str(RETRY_AFTER_SECONDS)),)

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    def _details(self) -> list[Message]:
        return [RETRY_INFO]
