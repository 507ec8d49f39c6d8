"""Finds applications that sample their traces and do not say so, by the trace ids that arrive.

OpenTelemetry's `TraceIdRatioBased` keeps a trace if the low 64 bits of its id are low (Java: close to 0 as a signed
number), and writes nothing into the tracestate. Random ids would not all be low.
"""

from collections import defaultdict
from collections.abc import Mapping

from qualitrace_collector.state import Database

LOOKED_AT = 20_000
"""The newest traces of all services, so that it takes milliseconds however many there are."""
LEAST = 30
"""Traces of a service; of fewer even those of a sampler that keeps one in two could be low by chance."""
CHANCE = 1e-9
"""The chance at most that random ids are all as low, for each service."""

REMEDY = (
    "so sampling.rate is a share of what arrives and not of all traffic: sample with the SDK's sample_ratio or another "
    "consistent sampler, which write the share into the tracestate (ot=th)"
)


def kept_silently(database: Database) -> Mapping[str, float]:
    """Return the services that keep traces by low ids, and about which share of all traces that is."""
    query = "SELECT service, trace_id FROM trace ORDER BY recorded_at DESC LIMIT ?"
    ids: defaultdict[str, list[int]] = defaultdict(list)
    for row in database.rows(query, (LOOKED_AT,)):
        ids[row["service"]].append(int(row["trace_id"][-16:], 16))
    return {service: share for service in sorted(ids) if (share := _share(ids[service])) is not None}


def _share(low_bits: list[int]) -> float | None:
    """Return the share that is kept; None if the ids look random."""
    count = len(low_bits)
    unsigned = max(low_bits) / 2**64
    signed = max(min(bits, 2**64 - bits) for bits in low_bits) / 2**63
    highest = min(unsigned, signed)
    return highest * (count + 1) / count if count >= LEAST and highest**count < CHANCE else None
