"""Turns the bytes of a request into what the journal keeps of it. It runs in the process that `turns` chooses."""

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from typing import Any

from qualitrace_collector.receive.decode import JSON, Decoded, decode_json, decode_protobuf
from qualitrace_collector.receive.settings import ItemLimits
from qualitrace_collector.receive.signals import Signal
from qualitrace_collector.receive.validation import Validation, reject_foreign

# A larger request becomes several entries of the journal. What reads an entry holds all of it until the last of its
# traces is stored.
ENTRY_BYTES = 8 << 20


@dataclass(slots=True)
class RequestPart:
    """What becomes an entry of the journal.

    Attributes:
        payload: a serialised message; None if it is the whole request as it was sent.
        kept: items in it.
        trace_ids: of the items, for the tenant to claim; empty where there are no tenants.
    """

    payload: bytes | None
    kept: int
    trace_ids: frozenset[bytes]


@dataclass(slots=True)
class CheckedRequest:
    """A request that can be kept.

    Attributes:
        parts: what to keep of it; none if nothing is left.
        validation: what was taken out of it.
        repaired: how many texts in it were not UTF-8.
    """

    parts: tuple[RequestPart, ...]
    validation: Validation
    repaired: int


def check_request(signal: Signal, media_type: str, data: bytes, limits: ItemLimits, has_tenant: bool) -> CheckedRequest:
    """Decode a request, and take out what is invalid or beyond the limits.

    Args:
        media_type: that of the data, `PROTOBUF` or `JSON`.
        has_tenant: whether its traces are claimed for a tenant.

    Raises:
        TooManyItems: it holds too many.
        Undecodable: it is not such a request.
    """
    decode: Callable[[Signal, bytes, int], Decoded] = decode_json if media_type == JSON else decode_protobuf
    decoded = decode(signal, data, limits.items)
    validation = signal.check(decoded.message, len(decoded.payload), limits)
    # The bytes are kept as they came, unknown fields too, unless something is removed or adjusted.
    changed = validation.rejected or validation.adjusted
    payload = decoded.message.SerializeToString() if changed else decoded.payload
    if len(payload) > ENTRY_BYTES:
        parts = [_part(signal, part, part.SerializeToString(), has_tenant) for part in _split(signal, decoded.message)]
    else:
        parts = [_part(signal, decoded.message, None if payload is data else payload, has_tenant)]
    return CheckedRequest(tuple(part for part in parts if part.kept), validation, decoded.repaired)


def without_foreign(signal: Signal, payload: bytes, foreign: Set[bytes], validation: Validation) -> RequestPart:
    """Return a part without what belongs to other tenants' traces; `validation` counts that."""
    message: Any = signal.request.FromString(payload)
    reject_foreign(signal.places(message), foreign, validation)
    return _part(signal, message, message.SerializeToString(), has_tenant=True)


def _part(signal: Signal, message: Any, payload: bytes | None, has_tenant: bool) -> RequestPart:
    kept = sum(len(place.items) for place in signal.places(message))
    trace_ids = (item.trace_id for place in signal.places(message) for item in place.items) if has_tenant else ()
    return RequestPart(payload, kept, frozenset(trace_ids))


def _split(signal: Signal, message: Any) -> Iterator[Any]:
    """Yield requests that hold the items of a large one, each as many as fit."""
    part, size = signal.request(), 0
    for place in signal.places(message):
        shared = place.resource.ByteSize() + place.scope.ByteSize()
        items = None
        for item in place.items:
            item_size = item.ByteSize()
            if size and size + item_size > ENTRY_BYTES:
                yield part
                part, size, items = signal.request(), 0, None
            if items is None:
                items = signal.add_place(part, place)
                size += shared
            items.add().CopyFrom(item)
            size += item_size
    if size:
        yield part
