"""Cuts the huge texts of spans, and splits spans into batches, so that a request is one that collectors take."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan

from qualitrace.copies import copied
from qualitrace.redaction.attributes import plain
from qualitrace.redaction.redactor import Redact
from qualitrace.shorten import shorten
from qualitrace.simple_spans import SIMPLE_BYTES

# Characters of one text: more than the context of most models. Smaller if the whole span would be too large.
TEXT_LIMITS = (1 << 20, 1 << 16, 1 << 12)
# As much as the collector takes in one span by default.
REQUEST_BYTES = 8 << 20
# A span of no more bytes is within all of these limits.
_SMALL_SPAN = 1 << 20


def bound(span: ReadableSpan, redact: Redact | None = None) -> ReadableSpan:
    """Return the span, or a copy with its long texts cut; `redact` is applied to the pieces."""
    if _most(span) <= _SMALL_SPAN:
        return span
    for limit in TEXT_LIMITS:
        if _longest(span) > limit:
            span = _shortened(span, limit, redact)
        if _size(span) <= REQUEST_BYTES:
            return span
    return span


def _shortened(span: ReadableSpan, limit: int, redact: Redact | None) -> ReadableSpan:
    def value(item: Any) -> Any:
        if isinstance(item, str):
            return shorten(item, limit, redact)
        if isinstance(item, bytes):
            return item[:limit]
        if isinstance(item, Mapping):
            return {key: value(inner) for key, inner in item.items()}
        return [value(inner) for inner in item] if isinstance(item, (list, tuple)) else item

    return copied(
        span,
        name=span.name[:limit],
        attributes=value(span.attributes),
        events=[Event(event.name[:limit], value(event.attributes), event.timestamp) for event in span.events],
    )


def _texts(span: ReadableSpan) -> Iterator[str | bytes]:
    yield span.name
    yield from _leaves(span.attributes)
    for event in span.events:
        yield event.name
        yield from _leaves(event.attributes)


def _leaves(value: Any) -> Iterator[str | bytes]:
    if isinstance(value, (str, bytes)):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    elif value is not None:
        yield b"12345678"  # a number


def _longest(span: ReadableSpan) -> int:
    return max(map(len, _texts(span)))


def _size(span: ReadableSpan) -> int:
    """Return the most bytes that the span takes in a request, but for its links and resource, which are small."""
    return sum(64 + len(text) * (1 if isinstance(text, bytes) or text.isascii() else 4) for text in _texts(span))


def _most(span: ReadableSpan) -> int:
    """Return at least `_size`: without a look at the characters of the texts, since this runs for each span."""
    events = sum(_most_of(event.name) + _most_of(event.attributes) for event in span.events)
    return _most_of(span.name) + _most_of(plain(span.attributes)) + events


def _most_of(value: Any) -> int:
    if isinstance(value, (str, bytes)):
        return 64 + 4 * len(value)
    if isinstance(value, Mapping):
        return sum(map(_most_of, value.values()))
    return sum(map(_most_of, value)) if isinstance(value, (list, tuple)) else 72  # a number


def size(span: ReadableSpan) -> int:
    """Return the most bytes that the span takes in a request: exactly, if these are many."""
    most = _most(span)
    return most if most <= SIMPLE_BYTES else _size(span)


def batches(spans: Iterable[tuple[ReadableSpan, int]]) -> Iterator[list[ReadableSpan]]:
    """Yield the spans, which come with the bytes they take, in batches that are each small enough for a request."""
    batch: list[ReadableSpan] = []
    taken = 0
    for span, more in spans:
        if batch and taken + more > REQUEST_BYTES:
            yield batch
            batch, taken = [], 0
        batch.append(span)
        taken += more
    if batch:
        yield batch
