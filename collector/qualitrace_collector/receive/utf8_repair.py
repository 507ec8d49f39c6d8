"""Repairs text in a protobuf message that is not UTF-8, and leaves everything else as it is.

SDKs for C++, PHP and Rust, and Go's raw strings, pass on the bytes that they were given, and protobuf's parser refuses
the whole request for one such text (https://protobuf.dev/programming-guides/encoding/#structure; proto3 demands UTF-8
of `string`). The request may hold other people's traces, too.
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

MAX_DEPTH = 100
"""Messages within messages; protobuf's parser goes no deeper either."""

MAX_FIELDS = 500_000
"""Fields of one request that are examined: each takes microseconds, and other requests wait."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}


def with_valid_text(kind: type[Message], data: bytes) -> tuple[bytes, int]:
    """Replace each broken sequence in the text of a serialised message by U+FFFD.

    Returns:
        The message, serialised, and how many of its texts were repaired.

    Raises:
        DecodeError: something else is wrong with it, or it has more than `MAX_FIELDS`.
    """
    return _repaired(kind, memoryview(data), 0, iter(range(MAX_FIELDS)))


def _repaired(kind: type[Message], data: memoryview, depth: int, steps: Iterator[int]) -> tuple[bytes, int]:
    if depth > MAX_DEPTH:
        raise DecodeError(f"messages are nested deeper than {MAX_DEPTH}")
    fields: Any = kind.DESCRIPTOR.fields_by_number
    parts: list[bytes | memoryview] = []
    count = 0
    for number, start, value_start, end in _fields(data):
        if next(steps, None) is None:
            raise DecodeError(f"text is not UTF-8, and there are more than {MAX_FIELDS} fields to look for it in")
        field = fields.get(number)
        value = _value(field, data[value_start:end], depth, steps) if field and value_start > start else None
        if value is None:
            parts.append(data[start:end])
        else:
            parts += (data[start : _after_varint(data, start)], _varint_of(len(value[0])), value[0])
            count += value[1]
    return b"".join(parts), count


def _value(field: FieldDescriptor, value: memoryview, depth: int, steps: Iterator[int]) -> tuple[bytes, int] | None:
    """Return the repaired value of a field and how many texts of it were broken, None if none was."""
    if field.type == FieldDescriptor.TYPE_STRING:
        sent = bytes(value)
        text = sent.decode(errors="replace").encode()
        return None if text == sent else (text, 1)
    # Only messages that protobuf cannot parse are walked through, so a request costs little more than its bad spans.
    if field.message_type is None or _parses(kind := GetMessageClass(field.message_type), value):
        return None
    return _repaired(kind, value, depth + 1, steps)


def _parses(kind: type[Message], value: memoryview) -> bool:
    try:
        kind.FromString(bytes(value))
    except DecodeError:
        return False
    return True


def _varint_of(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*written, number))


def _fields(data: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, start, start of the value, and end of each field; a value without a length starts at its field."""
    position = 0
    while position < len(data):
        start = position
        tag, position = _varint(data, position)
        value_start, kind = start, tag & 7
        if kind == _VARINT:
            position = _after_varint(data, position)
        elif kind in _FIXED:
            position += _FIXED[kind]
        elif kind == _BYTES:
            size, value_start = _varint(data, position)
            position = value_start + size
        else:
            raise DecodeError(f"wire type {kind} is not one of OTLP's")
        if position > len(data):
            raise DecodeError("message is cut off")
        yield tag >> 3, start, value_start, position


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Return a number and where it ends."""
    end = _after_varint(data, position)
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(data[position:end])), end


def _after_varint(data: memoryview, position: int) -> int:
    for end in range(position, min(position + 10, len(data))):
        if data[end] < 0x80:
            return end + 1
    raise DecodeError("a number is cut off or longer than 10 bytes")
