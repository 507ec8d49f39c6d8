"""Decodes an OTLP request: decompresses gzip or deflate, then parses protobuf or OTLP's JSON.

OTLP's JSON differs from protobuf's JSON mapping in three things: trace and span ids are hexadecimal, enums are
integers, and only lowerCamelCase names count (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).

Text that is not UTF-8 is repaired, see `utf8_repair`.
"""

import base64
import binascii
import json
import re
import zlib
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from starlette.requests import Request

from qualitrace_collector.receive.errors import TooLarge, Undecodable, Unsupported
from qualitrace_collector.receive.item_count import check_json, check_protobuf
from qualitrace_collector.receive.settings import ItemLimits
from qualitrace_collector.receive.signals import Signal
from qualitrace_collector.receive.utf8_repair import PIECE, REPLACEMENT, valid_text, with_valid_text

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

MAX_ITEMS = ItemLimits().items

_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
COMPRESSIONS = ("gzip", "deflate")
ID_KEYS = frozenset({"traceId", "spanId", "parentSpanId"})
"""The fields that OTLP writes in hexadecimal, and JSON of other protobuf messages in base64."""
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_ENUM_KEYS = frozenset({"kind", "code", "severityNumber"})


@dataclass(frozen=True, slots=True)
class Decoded:
    """A request as a message.

    Attributes:
        payload: the serialised message.
        repaired: how many texts in it were not UTF-8; their broken sequences are U+FFFD now.
    """

    message: Message
    payload: bytes
    repaired: int = 0


def media_type(request: Request) -> str:
    """Return the content type of an HTTP request without parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_headers(content_type: str, encoding: str) -> None:
    """Check the media type (without parameters) and the content encoding, both in lower case.

    Raises:
        Unsupported: OTLP does not have one of them; the message lists those that it has.
    """
    if content_type not in (PROTOBUF, JSON):
        raise Unsupported(f"content type {content_type!r} is not {PROTOBUF} or {JSON}")
    if encoding not in ("", "identity", *COMPRESSIONS):
        raise Unsupported(f"content encoding {encoding!r} is not gzip, deflate or identity")


def decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Undo the content encoding.

    Raises:
        TooLarge: the result would have more than `max_bytes`; no more than that is ever held.
        Undecodable: the body is damaged or cut off.
    """
    if encoding not in COMPRESSIONS:
        return body
    parts: list[bytes] = []
    left = max_bytes
    while body:  # gzip allows several members in a row
        inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
        try:
            part = inflater.decompress(body, left + 1)
        except zlib.error as error:
            raise Undecodable(f"body is not {encoding}: {error}") from error
        left -= len(part)
        if left < 0:
            raise TooLarge(max_bytes)
        if not inflater.eof:
            raise Undecodable(f"body is not {encoding}: it is cut off")
        parts.append(part)
        body = inflater.unused_data
    return b"".join(parts)


def decode_protobuf(signal: Signal, data: bytes, max_items: int = MAX_ITEMS) -> Decoded:
    """Parse a serialised request; repair text in it that is not UTF-8.

    Raises:
        TooManyItems: it holds more than `max_items`.
        Undecodable: it is not such a request.
    """
    check_protobuf(signal.request, data, max_items)
    try:
        return Decoded(signal.request.FromString(data), data)
    except DecodeError as error:
        try:
            repaired, count = with_valid_text(signal.request, data)
            return Decoded(signal.request.FromString(repaired), repaired, count)
        except DecodeError:
            raise Undecodable(f"body is no {signal.request.DESCRIPTOR.name}: {error}") from error


def decode_json(signal: Signal, data: bytes, max_items: int = MAX_ITEMS) -> Decoded:
    """Parse a request in OTLP's JSON; repair bytes in it that are not UTF-8.

    Raises:
        TooManyItems: it holds more than `max_items`.
        Undecodable: it is not such a request.
    """
    check_json(data, max_items)
    try:
        text, count = _text(data)
        fields = json.loads(text, object_pairs_hook=_object)
        if not isinstance(fields, dict):
            raise TypeError(f"an object is needed, not {type(fields).__name__}")
        message = json_format.ParseDict(fields, signal.request(), ignore_unknown_fields=True)
        payload = message.SerializeToString()
    except Exception as error:  # odd shapes make json_format raise anything, RecursionError too
        raise Undecodable(f"body is no {signal.request.DESCRIPTOR.name} in JSON: {error}") from error
    check_protobuf(signal.request, payload, max_items)  # an item may take fewer marks than usual
    return Decoded(message, payload, count)


def _text(data: bytes) -> tuple[str, int]:
    """Return the text, which RFC 8259 wants in UTF-8, and how many broken sequences in it were replaced."""
    try:
        return data.decode("utf-8-sig"), 0
    except UnicodeDecodeError:
        text = valid_text(data).decode("utf-8-sig")
        return text, text.count(REPLACEMENT) - data.count(REPLACEMENT.encode())


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Only lowerCamelCase names count: json_format would take snake_case, too, and fails at a bracket in a name.
    return {key: _value(key, value) for key, value in pairs if key.isalnum()}


def _value(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if key in ID_KEYS:
        return base64.b64encode(_id(value)).decode()
    if key in _ENUM_KEYS:
        return _EnumName(value)
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        # JavaScript may cut a string in the middle of a surrogate pair, for which protobuf would refuse the request.
        pieces = (value[start : start + PIECE] for start in range(0, len(value), PIECE))
        return "".join(_HALF_PAIR.sub(REPLACEMENT, piece) for piece in pieces)
    return value


def _id(text: str) -> bytes:
    try:
        return binascii.unhexlify(text)
    except ValueError:
        return b"?"  # an id of a wrong length: validation rejects its span alone, not the request


class _EnumName:
    """Text where an enum may stand: json_format would accept it, which OTLP forbids. In unknown fields it does no harm.

    Without the name an error would look like a success, so the request is undecodable.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __int__(self) -> int:
        raise json_format.ParseError(f"enums are integers in OTLP, not {self._name!r}")
