"""What OTLP cannot carry, made into what it can: half a character, or a number of more than 64 bits.

Encoding fails on them. It costs the attribute, or in a name the whole batch.
"""

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Status

from qualitrace.copies import copied
from qualitrace.redaction.attributes import plain
from qualitrace.serialize import without_surrogates
from qualitrace.simple_spans import encodes

_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
# Python writes no longer ones as decimals in any version's default settings.
_WRITABLE_BITS = 4_096


def sendable(span: ReadableSpan) -> ReadableSpan:
    """Return the span, or a copy whose names, keys, texts and numbers can be encoded."""
    if _is_sendable(span):
        return span
    return copied(
        span,
        name=_made(span.name),
        attributes=_made(span.attributes),
        events=[Event(_made(event.name), _made(event.attributes), event.timestamp) for event in span.events],
        links=[Link(link.context, _made(link.attributes)) for link in span.links],
        status=Status(span.status.status_code, _made(span.status.description)),
        instrumentation_scope=_made_scope(span.instrumentation_scope),
    )


def _is_sendable(span: ReadableSpan) -> bool:
    scope = span.instrumentation_scope
    return (
        _fits(span.name)
        and _fits(span.status.description)
        and _all_fit(span.attributes)
        and (scope is None or (_fits(scope.name) and _fits(scope.version)))
        and all(_fits(event.name) and _all_fit(event.attributes) for event in span.events)
        and all(_all_fit(link.attributes) for link in span.links)
    )


def _all_fit(attributes: Mapping[str, Any] | None) -> bool:
    return all(_fits(key) and _fits(value) for key, value in plain(attributes).items())


def _fits(value: Any) -> bool:
    if isinstance(value, str):
        return value.isascii() or encodes(value)
    if isinstance(value, int):
        return _LEAST <= value <= _MOST
    if isinstance(value, (list, tuple)):
        return all(map(_fits, value))
    return _all_fit(value) if isinstance(value, Mapping) else True


def _made(value: Any) -> Any:
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, int) and not _fits(value):
        bits = value.bit_length()
        return str(value) if bits <= _WRITABLE_BITS else f"<integer of {bits} bits>"
    if isinstance(value, Mapping):
        return {_made(key): _made(item) for key, item in value.items()}
    return [_made(item) for item in value] if isinstance(value, (list, tuple)) else value


def _made_scope(scope: InstrumentationScope | None) -> InstrumentationScope | None:
    if scope is None:
        return None
    return InstrumentationScope(_made(scope.name), _made(scope.version), scope.schema_url, scope.attributes)
