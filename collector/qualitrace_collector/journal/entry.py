"""What a journal holds, and how it fails.

JournalError               the journal cannot be used; the message names the file and the remedy
├── JournalFull            no room until `work` is done with something
└── JournalUnavailable     the disk is full or broken, or the file stays locked: nothing was written

ForeignTraces              the request holds spans or log records of another tenant's traces
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SignalName = Literal["traces", "logs", "feedback"]

# Amounts to add to counters, by name and label, for example `("spans_received", "http")`.
Counts = Mapping[tuple[str, str], int]


class JournalError(Exception):
    """The journal cannot be used."""


class JournalFull(JournalError):
    """The journal, or the queue before it, has no room for the request now."""


class JournalUnavailable(JournalError):
    """The journal cannot be written now; nothing of the request was kept."""


class ForeignTraces(Exception):
    """Some traces of a request belong to another tenant; nothing of the request was kept."""

    def __init__(self, trace_ids: frozenset[bytes]) -> None:
        super().__init__(f"{len(trace_ids)} traces belong to another tenant")
        self.trace_ids = trace_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One acked request.

    Attributes:
        position: strictly increasing, never reused; the journal assigns it (0 before).
        signal: the OTLP service that took it, or the feedback door.
        payload: the serialised Export…ServiceRequest, protobuf whatever the client spoke; feedback's is JSON.
        received_at: Unix seconds by the collector's clock.
        tenant: the sender; empty without tenants.
        claims: ids of the traces that become `tenant`'s with this request; none without tenants. Not read back.
    """

    position: int = 0
    signal: SignalName
    payload: bytes
    received_at: float
    tenant: str = ""
    claims: frozenset[bytes] = frozenset()
