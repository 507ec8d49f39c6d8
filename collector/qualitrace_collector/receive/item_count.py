"""Counts what a request holds before it is parsed: two bytes on the wire may become hundreds in memory.

Both forms are looked at twice. First the bytes that can begin an item are counted, wherever they stand; that takes a
millisecond for a megabyte and is enough for nearly every request. Only if they are too many are items told from text,
and no further than to the limit.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto
from google.protobuf.message import Message

from qualitrace_collector.receive.errors import TooManyItems, Undecodable

# How many fields there may be to an item. An attribute takes four: itself, its key, its value, and what that holds.
FIELDS_PER_ITEM = 5

# How many braces, brackets and commas an item has in OTLP's JSON, as in {"key":"k","value":{"intValue":"1"}},
MARKS_PER_ITEM = 4

# Bytes that may begin an item, in a request that is worked on at once: they take 30 ms at most. Applications' own
# requests have one in six bytes, in JSON one in twenty or fewer.
MOST_MARKS_AT_ONCE = 4_000

# Work on less is done at once: handing it to a thread takes time, too.
SMALL_BYTES = 128 << 10

_MARKS = b"{[,"
_PIECE = 1 << 20  # between two pieces other threads get their turn
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[{\[,]', re.DOTALL)
_QUOTE = ord('"')

_MAX_SHIFT = 63
_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5


_TEXT: tuple[int, Any] = (0, None)


class _Level(dict[int, tuple[int, Any]]):
    """The fields of a message that hold others: by tag, how much one counts, and its own level (None: text)."""


def size_in_turns(kind: type[Message] | None, data: bytes) -> int:
    """Return the size by which a request takes its turn: that of a medium one if it is small but holds many items.

    Each item takes microseconds, and is two bytes at least, so that 128 KiB may take half a second.

    Args:
        kind: of a serialised message; None for JSON.
    """
    size, marks = len(data), _MARKS if kind is None else _levels(kind)[1]
    if size <= SMALL_BYTES and _has_more(data, marks, MOST_MARKS_AT_ONCE):
        return SMALL_BYTES + 1
    return size


def check_protobuf(kind: type[Message], data: bytes, limit: int) -> None:
    """Check how many items a serialised message of `kind` holds.

    Items are what stands in lists, and the alternatives of a value. The one value of an attribute counts with it.
    Damage is left for the parser to report.

    Raises:
        TooManyItems: more than `limit`, or more than `FIELDS_PER_ITEM` fields to each.
        Undecodable: it holds groups.
    """
    if len(data) <= 2 * limit:  # an item takes two bytes or more
        return
    level, first_bytes = _levels(kind)
    if _has_more(data, first_bytes, limit) and _exceeds(data, level, limit):
        raise TooManyItems(limit)


def check_json(data: bytes, limit: int) -> None:
    """Check how many items there are in a request in JSON.

    Raises:
        TooManyItems: more than `limit`, or more than `MARKS_PER_ITEM` braces, brackets and commas to each.
    """
    most = limit * MARKS_PER_ITEM
    if not _has_more(data, _MARKS, most):
        return
    # Valid JSON has at most two texts to a mark. What is not valid is parsed up to the fault alone.
    tokens = islice(_TOKEN.finditer(data), 3 * (most + 1))
    if sum(data[token.start()] != _QUOTE for token in tokens) > most:
        raise TooManyItems(limit)


def _has_more(data: bytes, wanted: bytes, limit: int) -> bool:
    """Return whether more than `limit` bytes of the data are among the wanted ones."""
    count = 0
    for start in range(0, len(data), _PIECE):
        piece = data[start : start + _PIECE]
        count += len(piece) - len(piece.translate(None, wanted))
        if count > limit:
            return True
    return False


@cache
def _levels(kind: type[Message]) -> tuple[_Level, bytes]:
    """Return the level of the message's own fields, and the bytes of which each item on the wire has one."""
    known: dict[str, _Level] = {}
    level = _level(kind.DESCRIPTOR, known)
    tags = {tag for fields in known.values() for tag in fields}
    # A number can be written with more bytes than it needs; the last one is zero then.
    return level, bytes({0, *(tag & 127 if tag < 128 else tag >> 7 for tag in tags)})


def _level(message: Any, known: dict[str, _Level]) -> _Level:
    if message.full_name in known:  # values hold values
        return known[message.full_name]
    level = known[message.full_name] = _Level()
    declared = DescriptorProto()
    message.CopyToProto(declared)
    for field in declared.field:
        inner = message.fields_by_name[field.name].message_type
        repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
        if inner or repeated:
            counts = int(repeated or field.HasField("oneof_index"))
            level[field.number << 3 | _LENGTH_DELIMITED] = counts, _level(inner, known) if inner else None
    return level


def _exceeds(data: bytes, level: _Level, limit: int) -> bool:
    items = 0
    try:
        for fields, counts in enumerate(_counts(data, level)):
            items += counts
            if items > limit or fields > limit * FIELDS_PER_ITEM:
                return True
    except IndexError:  # the end is missing, or a number is too long
        pass
    return False


def _counts(data: bytes, level: _Level) -> Iterator[int]:
    """Yield for each field how much it counts, down to those of values, until the end or a fault."""
    position, end = 0, len(data)
    above: list[tuple[int, _Level]] = []
    while True:
        while position >= end:
            if not above:
                return
            end, level = above.pop()
        tag, position = _varint(data, position)
        wire_type = tag & 7
        if wire_type == _LENGTH_DELIMITED:
            size, position = _varint(data, position)
            counts, inner = level.get(tag, _TEXT)
            yield counts
            if inner is not None:
                above.append((end, level))
                end, level = position + size, inner
            else:
                position += size
        elif wire_type == _VARINT:
            _, position = _varint(data, position)
            yield 0
        elif wire_type in (_FIXED64, _FIXED32):
            position += 8 if wire_type == _FIXED64 else 4
            yield 0
        else:  # the parser would take groups, and what follows
            raise Undecodable("body holds groups, which OTLP does not have")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the number at a position, and where the next field begins."""
    byte = data[position]
    position += 1
    if byte < 128:
        return byte, position
    number, shift = byte & 127, 7
    while byte >= 128:
        if shift > _MAX_SHIFT:
            raise IndexError
        byte = data[position]
        number |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
    return number, position
