"""From bytes to an OTLP request: gzip or deflate off, then protobuf or OTLP's JSON.

OTLP's JSON is protobuf's JSON mapping but for three things: trace and span ids are hexadecimal, enums are
integers, and only lowerCamelCase names count (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
"""

import base64
import binascii
import json
import zlib
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from qualitrace_collector.receive.errors import TooLarge, Undecodable, Unsupported
from qualitrace_collector.receive.repair import with_valid_text
from qualitrace_collector.receive.signals import Signal

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

THREAD_BYTES = 128 << 10
"""Larger requests are to be decoded in a thread, so that they do not hold up the small ones."""

_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_COMPRESSIONS = ("gzip", "deflate")
_ID_KEYS = frozenset({"traceId", "spanId", "parentSpanId"})
_REPLACEMENT = "\ufffd"
_ENUM_KEYS = frozenset({"kind", "code", "severityNumber"})


@dataclass(frozen=True, slots=True)
class Decoded:
    """A request as a message.

    Attributes:
        payload: the bytes that it can be parsed from again; None if it came as JSON.
        repaired: how many texts in it were not UTF-8; what is wrong in them is U+FFFD now.
    """

    message: Message
    payload: bytes | None
    repaired: int = 0


def check_headers(content_type: str, encoding: str) -> None:
    """Check the media type (without parameters) and the content encoding, both in lower case.

    Raises:
        Unsupported: for one that is not OTLP's; the message lists those that are.
    """
    if content_type not in (PROTOBUF, JSON):
        raise Unsupported(f"content type {content_type!r} is not {PROTOBUF} or {JSON}")
    if encoding not in ("", "identity", *_COMPRESSIONS):
        raise Unsupported(f"content encoding {encoding!r} is not gzip, deflate or identity")


def decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Undo the content encoding.

    Raises:
        TooLarge: the result would be beyond `max_bytes`; no more than that is ever held.
        Undecodable: the body is damaged or cut off.
    """
    if encoding not in _COMPRESSIONS:
        return body
    parts: list[bytes] = []
    room = max_bytes
    while body:  # gzip allows several members in a row
        inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
        try:
            part = inflater.decompress(body, room + 1)
        except zlib.error as error:
            raise Undecodable(f"body is not {encoding}: {error}") from error
        room -= len(part)
        if room < 0:
            raise TooLarge(max_bytes)
        if not inflater.eof:
            raise Undecodable(f"body is not {encoding}: it is cut off")
        parts.append(part)
        body = inflater.unused_data
    return b"".join(parts)


def decode_protobuf(signal: Signal, data: bytes) -> Decoded:
    """Parse a serialised request; text in it that is not UTF-8 is repaired.

    Raises:
        Undecodable: it is not one.
    """
    try:
        return Decoded(signal.request.FromString(data), data)
    except DecodeError as error:
        try:
            repaired, count = with_valid_text(signal.request, data)
            return Decoded(signal.request.FromString(repaired), repaired, count)
        except DecodeError:
            raise Undecodable(f"body is no {signal.request.DESCRIPTOR.name}: {error}") from error


def decode_json(signal: Signal, data: bytes) -> Decoded:
    """Parse a request in OTLP's JSON; bytes in it that are not UTF-8 are repaired.

    An id that is not hexadecimal becomes one of a wrong length, so that validation takes out its span alone.

    Raises:
        Undecodable: it is not one.
    """
    try:
        text, count = _text(data)
        fields = json.loads(text, object_pairs_hook=_object)
        if not isinstance(fields, dict):
            raise TypeError(f"an object is needed, not {type(fields).__name__}")
        return Decoded(json_format.ParseDict(fields, signal.request(), ignore_unknown_fields=True), None, count)
    except Exception as error:  # odd shapes make json_format raise anything, RecursionError too
        raise Undecodable(f"body is no {signal.request.DESCRIPTOR.name} in JSON: {error}") from error


def _text(data: bytes) -> tuple[str, int]:
    """Return the text (RFC 8259 demands UTF-8), and how many broken sequences in it were replaced."""
    try:
        return data.decode("utf-8-sig"), 0
    except UnicodeDecodeError:
        text = data.decode("utf-8-sig", "replace")
        return text, text.count(_REPLACEMENT) - data.count(_REPLACEMENT.encode())


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Keep what can be a lowerCamelCase name; json_format would take snake_case and trip over brackets."""
    return {key: _value(key, value) for key, value in pairs if key.isalnum()}


def _value(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if key in _ID_KEYS:
        return base64.b64encode(_id(value)).decode()
    if key in _ENUM_KEYS:
        return _EnumName(value)
    if value.isascii():
        return value
    # JavaScript cuts strings in the middle of a surrogate pair; protobuf would refuse the whole request.
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _id(text: str) -> bytes:
    try:
        return binascii.unhexlify(text)
    except ValueError:
        return b"?"


class _EnumName:
    """Text where an enum may stand: json_format would take it, OTLP forbids it; in unknown fields it is ignored."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __int__(self) -> int:
        raise json_format.ParseError(f"enums are integers in OTLP, not {self._name!r}")
