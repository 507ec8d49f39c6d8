"""Turns the bytes of a request into what the journal keeps of it. It runs in the process that `turns` chooses."""

from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Any

from qualitrace_collector.receive.decode import JSON, Decoded, decode_json, decode_protobuf
from qualitrace_collector.receive.settings import ItemLimits
from qualitrace_collector.receive.signals import Signal
from qualitrace_collector.receive.validation import Validation, reject_foreign


@dataclass(slots=True)
class CheckedRequest:
    """A request that can be kept.

    Attributes:
        payload: what to keep of it, a serialised message; None if that is just what was sent.
        validation: what was taken out of it.
        trace_ids: of what is left, for the tenant to claim; empty where there are no tenants.
        repaired: how many texts in it were not UTF-8.
    """

    payload: bytes | None
    validation: Validation
    trace_ids: frozenset[bytes]
    repaired: int = 0


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
    trace_ids = _trace_ids(signal, decoded.message) if has_tenant else frozenset[bytes]()
    return CheckedRequest(None if payload is data else payload, validation, trace_ids, decoded.repaired)


def remove_foreign(signal: Signal, payload: bytes, foreign: Set[bytes], validation: Validation) -> CheckedRequest:
    """Take out of a checked request what belongs to other tenants' traces; `validation` counts it."""
    message: Any = signal.request.FromString(payload)
    reject_foreign(signal.places(message), foreign, validation)
    return CheckedRequest(message.SerializeToString(), validation, _trace_ids(signal, message))


def _trace_ids(signal: Signal, message: Any) -> frozenset[bytes]:
    return frozenset(item.trace_id for place in signal.places(message) for item in place.items)
