"""The content of a dead letter: shown as JSON, and put back into the journal."""

import base64
import time
from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from qualitrace_collector.journal import JournalEntry, SignalName, SqliteJournal
from qualitrace_collector.receive.decode import ID_KEYS
from qualitrace_collector.state import DeadLetter, DeadLetters


def otlp_json(letter: DeadLetter) -> dict[str, Any]:
    """Return the letter's spans and log records in OTLP's JSON, under `resourceSpans` and `resourceLogs`.

    OTLP writes ids in hexadecimal, where protobuf's own JSON has base64
    (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).

    Raises:
        DecodeError: the payload is not OTLP.
    """
    parsed = (ExportTraceServiceRequest.FromString(letter.traces), ExportLogsServiceRequest.FromString(letter.logs))
    fields: dict[str, Any] = {}
    for message in parsed:
        fields |= MessageToDict(message, use_integers_for_enums=True)
    return _with_hex_ids(fields)


def is_decodable(letter: DeadLetter) -> bool:
    """Return whether the letter holds OTLP; a replay of anything else would make the same letter again."""
    try:
        otlp_json(letter)
    except DecodeError:
        return False
    return True


def replay(
    letters: Iterable[DeadLetter], kept: DeadLetters, journal: SqliteJournal, clock: Callable[[], float] = time.time
) -> None:
    """Move letters from the state database into the journal.

    Args:
        clock: Unix seconds.

    Raises:
        JournalError: the journal is full or cannot be written; this letter and those after it stay.
    """
    for letter in letters:
        payloads: dict[SignalName, bytes] = {"logs": letter.logs, "traces": letter.traces}
        journal.append(
            [
                JournalEntry(signal=signal, payload=payload, received_at=clock(), tenant=letter.tenant)
                for signal, payload in payloads.items()
                if payload
            ]
        )
        # A crash before this line leaves a letter whose trace is stored anyway. Another replay of it changes nothing.
        kept.remove([letter])


def _with_hex_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hex(item) if key in ID_KEYS else _with_hex_ids(item) for key, item in value.items()}
    return [_with_hex_ids(item) for item in value] if isinstance(value, list) else value


def _hex(text: str) -> str:
    return base64.b64decode(text).hex()
