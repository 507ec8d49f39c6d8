"""OpenTelemetry's consistent probability sampling (trace/tracestate-probability-sampling).

A trace is in a sample of rate p if its randomness is ≥ (1 - p) · 2^56. The same trace is thus in every sample of a
higher rate, whichever process decides. The randomness is `rv` of its tracestate. Where a client sampled by the trace id
and says so (`th`), it is the low 56 bits of the trace id. Otherwise it is a hash of the trace id, since a client may
have sampled by the bits and not say so: the SDKs' `TraceIdRatioBased` keeps low ones, and of those none would be in a
small sample.
"""

import hashlib

MAX_RANDOMNESS = 1 << 56


def randomness(trace_id: str, tracestate: str) -> int:
    """Return the 56-bit randomness of a trace (`tr-` and hex digits)."""
    explicit = _ot_value(tracestate, "rv")
    if explicit is not None and len(explicit) == 14:
        return int(explicit, 16)
    if _threshold(tracestate) is not None:
        return int(trace_id[-14:], 16)
    return int.from_bytes(hashlib.blake2b(trace_id.encode(), digest_size=7).digest())


def head_probability(tracestate: str) -> float:
    """Return the probability with which the client's head sampling kept this trace (`th`), else 1."""
    threshold = _threshold(tracestate)
    return 1.0 if threshold is None else 1.0 - threshold / MAX_RANDOMNESS


def _threshold(tracestate: str) -> int | None:
    digits = _ot_value(tracestate, "th")
    return int(digits.ljust(14, "0"), 16) if digits is not None and len(digits) <= 14 else None


def inclusion_probability(trace_id: str, tracestate: str, rate: float, *, always: bool) -> float | None:
    """Return the probability with which this trace came into the sample, or None if it did not.

    Args:
        trace_id: `tr-` and 32 hex digits.
        tracestate: the W3C tracestate of the root span.
        rate: the wanted share of all traffic, head sampling included.
        always: the trace is of a stratum that is always judged (then head sampling alone decides).
    """
    head = head_probability(tracestate)
    wanted = head if always else min(rate, head)
    if wanted <= 0:
        return None
    picked = always or randomness(trace_id, tracestate) >= (1 - wanted) * MAX_RANDOMNESS
    return wanted if picked else None


def _ot_value(tracestate: str, key: str) -> str | None:
    """Return the value of a sub-key of the `ot` entry of a tracestate, if it is hexadecimal."""
    for entry in tracestate.split(","):
        vendor, _, fields = entry.strip().partition("=")
        if vendor == "ot":
            for item in fields.split(";"):
                name, _, value = item.partition(":")
                if name == key and value and all(digit in "0123456789abcdef" for digit in value):
                    return value
    return None
