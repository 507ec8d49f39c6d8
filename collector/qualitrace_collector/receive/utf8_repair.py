"""Repairs text that is not UTF-8 in a serialised request.

SDKs for C++, PHP and Rust, and Go's raw strings, pass on the bytes that they were given, and protobuf's parser refuses
the whole request for one such text (proto3 demands UTF-8 of `string`). The request may hold other people's traces, too.
So it is parsed by a copy of its schema in which every text is a field of bytes, which looks the same on the wire
(https://protobuf.dev/programming-guides/encoding/#structure).
"""

import codecs
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

# Texts and messages of one request that are examined: each takes microseconds, and other requests wait.
MAX_VALUES = 500_000

# Text of one request that is repaired: it may become three times as long, and is held several times.
MAX_REPAIRED_BYTES = 16 << 20

REPLACEMENT = "\ufffd"
PIECE = 64 << 10
"""Characters or bytes of a text that are repaired at a time: between two pieces other threads get their turn."""


def with_valid_text(kind: type[Message], data: bytes) -> tuple[bytes, int]:
    """Replace each broken sequence in the text of a serialised message by U+FFFD.

    Returns:
        The message, serialised, and how many of its texts were repaired.

    Raises:
        DecodeError: something else is wrong with it, or it has more than `MAX_VALUES`, or `MAX_REPAIRED_BYTES`.
    """
    message = _with_bytes_for_text(kind).FromString(data)
    count = _repair(message, kind, _RepairLimit(MAX_VALUES, MAX_REPAIRED_BYTES))
    return message.SerializeToString(), count


@dataclass(slots=True)
class _RepairLimit:
    """How many values may still be examined, and bytes of text be repaired."""

    values: int
    text: int


def _repair(message: Any, kind: type[Message], left: _RepairLimit) -> int:
    """Repair the texts of a message in place; return how many were broken. `kind` is the class with real texts."""
    count = 0
    for field, value in message.ListFields():
        original: Any = kind.DESCRIPTOR.fields_by_number[field.number]
        is_text = original.type == FieldDescriptor.TYPE_STRING
        if not (is_text or original.message_type):
            continue
        repeated = _is_repeated(value)
        for index, item in enumerate(value if repeated else (value,)):
            left.values -= 1
            if left.values < 0:
                raise DecodeError(f"text is not UTF-8, and there are more than {MAX_VALUES} values to look for it in")
            if not is_text:
                inner = GetMessageClass(original.message_type)
                # Only messages that cannot be parsed are searched, so a request costs little more than its bad spans.
                count += 0 if _parses(inner, item) else _repair(item, inner, left)
            elif not _is_valid_text(item):
                count += 1
                left.text -= len(item)
                if left.text < 0:
                    raise DecodeError(f"more than {MAX_REPAIRED_BYTES} bytes of text are not UTF-8")
                text = valid_text(item)
                if repeated:
                    value[index] = text
                else:
                    setattr(message, field.name, text)
    return count


def _is_repeated(value: Any) -> bool:
    return not isinstance(value, (bytes, Message))


def _parses(kind: type[Message], message: Message) -> bool:
    try:
        kind.FromString(message.SerializeToString())
    except DecodeError:
        return False
    return True


@cache
def _with_bytes_for_text(kind: type[Message]) -> type[Message]:
    """Return the same message class with `bytes` in place of `string` in it and in all messages that it holds."""
    pool = DescriptorPool()
    _add_file(pool, kind.DESCRIPTOR.file)
    return GetMessageClass(pool.FindMessageTypeByName(kind.DESCRIPTOR.full_name))


def _add_file(pool: DescriptorPool, file: Any) -> None:
    for dependency in file.dependencies:
        _add_file(pool, dependency)  # the same file twice does no harm
    copied = FileDescriptorProto()
    file.CopyToProto(copied)
    _replace_text(copied.message_type)
    pool.AddSerializedFile(copied.SerializeToString())


def _replace_text(messages: Iterable[DescriptorProto]) -> None:
    for message in messages:
        for field in message.field:
            if field.type == FieldDescriptorProto.TYPE_STRING:
                field.type = FieldDescriptorProto.TYPE_BYTES
        _replace_text(message.nested_type)


def valid_text(data: bytes) -> bytes:
    """Return a text in UTF-8 with U+FFFD for each broken sequence."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pieces = (data[start : start + PIECE] for start in range(0, len(data), PIECE))
    return b"".join([*(decoder.decode(piece).encode() for piece in pieces), decoder.decode(b"", final=True).encode()])


def _is_valid_text(data: bytes) -> bool:
    """Whether it is UTF-8; a large text is never held a second time."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), PIECE):
            decoder.decode(data[start : start + PIECE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
