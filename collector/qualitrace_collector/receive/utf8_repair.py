"""Repairs text in a protobuf message that is not UTF-8, and leaves everything else as it is.

SDKs for C++, PHP and Rust, and Go's raw strings, pass on the bytes that they were given, and protobuf's parser refuses
the whole request for one such text (proto3 demands UTF-8 of `string`). The request may hold other people's traces, too.
So it is parsed by a copy of its schema in which every text is a field of bytes, which looks the same on the wire
(https://protobuf.dev/programming-guides/encoding/#structure).
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

MAX_VALUES = 500_000
"""Texts and messages of one request that are examined: each takes microseconds, and other requests wait."""


def with_valid_text(kind: type[Message], data: bytes) -> tuple[bytes, int]:
    """Replace each broken sequence in the text of a serialised message by U+FFFD.

    Returns:
        The message, serialised, and how many of its texts were repaired.

    Raises:
        DecodeError: something else is wrong with it, or it has more than `MAX_VALUES`.
    """
    message = _with_bytes_for_text(kind).FromString(data)
    count = _repair(message, kind, iter(range(MAX_VALUES)))
    return message.SerializeToString(), count


def _repair(message: Any, kind: type[Message], steps: Iterator[int]) -> int:
    """Repair the texts of a message in place; return how many were broken. `kind` is the class with real texts."""
    count = 0
    for field, value in message.ListFields():
        original: Any = kind.DESCRIPTOR.fields_by_number[field.number]
        is_text = original.type == FieldDescriptor.TYPE_STRING
        if not (is_text or original.message_type):
            continue
        repeated = _is_repeated(value)
        for index, item in enumerate(value if repeated else (value,)):
            if next(steps, None) is None:
                raise DecodeError(f"text is not UTF-8, and there are more than {MAX_VALUES} values to look for it in")
            if not is_text:
                inner = GetMessageClass(original.message_type)
                # Only messages that cannot be parsed are searched, so a request costs little more than its bad spans.
                count += 0 if _parses(inner, item) else _repair(item, inner, steps)
            elif (text := item.decode(errors="replace").encode()) != item:
                count += 1
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
