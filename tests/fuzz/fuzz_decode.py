"""Fuzzes decoding and validation with libFuzzer's coverage guidance: `make fuzz`.

An input is a byte that picks signal, kind of body and compression, then a body: as it is, or as the plan by which a
body of sound syntax is built, which gets deeper. Whatever it is, the only exception is a RequestError, and what is
kept can be serialised, parsed again and found valid.
"""

import gzip
import json
import resource
import sys
import tempfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["qualitrace_collector.receive", "google.protobuf.json_format"]):
    from qualitrace_collector.receive.decode import decode_json, decode_protobuf, decompress
    from qualitrace_collector.receive.errors import RequestError
    from qualitrace_collector.receive.settings import ItemLimits
    from qualitrace_collector.receive.signals import SIGNALS

from support.damage import KEYS, nested, whole_requests

MAX_BYTES = 1 << 20
REPORT_EVERY = 100_000
DEPTH = 5
SCALARS = [None, True, 0, 2, -1, 2**63, 2**64, "", "ab" * 8, "AB" * 16, "00" * 16, "zz", "-1", "1e3", "NaN", "OK"]


def varint(value: int) -> bytes:
    """Encode as protobuf does."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number: int, content: bytes) -> bytes:
    """Encode a length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def build_message(plan: Any, depth: int = DEPTH) -> bytes:
    """Build fields of any number and wire type; lengths are right."""
    parts: list[bytes] = []
    for _ in range(plan.ConsumeIntInRange(0, 4)):
        number = plan.ConsumeIntInRange(1, 17)
        match plan.ConsumeIntInRange(0, 4 if depth else 3):
            case 0:
                parts.append(varint(number << 3) + varint(plan.ConsumeUInt(8)))
            case 1:
                parts.append(varint(number << 3 | 1) + plan.ConsumeBytes(8).ljust(8, b"\0"))
            case 2:
                parts.append(varint(number << 3 | 5) + plan.ConsumeBytes(4).ljust(4, b"\0"))
            case 3:
                parts.append(field(number, plan.ConsumeBytes(plan.PickValueInList([0, 8, 16, 3]))))
            case _:
                parts.append(field(number, build_message(plan, depth - 1)))
    return b"".join(parts)


def build_json(plan: Any, depth: int = DEPTH) -> Any:
    """Build a value of any type, with OTLP's names as keys."""
    kind = plan.ConsumeIntInRange(0, 5 if depth else 3)
    if kind == 5:
        keys = [plan.PickValueInList(KEYS) for _ in range(plan.ConsumeIntInRange(0, 5))]
        return {key: build_json(plan, depth - 1) for key in keys}
    if kind == 4:
        return [build_json(plan, depth - 1) for _ in range(plan.ConsumeIntInRange(0, 3))]
    if kind == 3:
        return plan.PickValueInList(SCALARS)
    return (plan.ConsumeUnicode(6), plan.ConsumeInt(9), plan.ConsumeFloat())[kind]


def planned_message(data: bytes) -> bytes:
    """Build fields where the ones of spans and log records are."""
    return field(1, field(2, field(2, build_message(atheris.FuzzedDataProvider(data)))))


def planned_json(data: bytes) -> bytes:
    """Build values where spans and log records are."""
    return json.dumps(nested(build_json(atheris.FuzzedDataProvider(data)))).encode()


BODIES = [
    (bytes, decode_protobuf),
    (bytes, decode_json),
    (planned_message, decode_protobuf),
    (planned_json, decode_json),
]
COMPRESSIONS = [("", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress), ("gzip", bytes)]


def take(data: bytes) -> str:
    """Decode, check and answer one input; return its outcome."""
    choice = data[0] if data else 0
    signal, (build, decode), (encoding, compress) = (
        SIGNALS[choice & 1],
        BODIES[choice >> 1 & 3],
        COMPRESSIONS[choice >> 3 & 3],
    )
    try:
        message = decode(signal, decompress(compress(build(data[1:])), encoding, MAX_BYTES)).message
    except RequestError as error:
        error.status().SerializeToString()
        return "refused"
    verdict = signal.check(message, message.ByteSize(), ItemLimits())
    assert signal.response(verdict).HasField("partial_success") == bool(verdict.rejected)
    kept = decode_protobuf(signal, message.SerializeToString())
    again = signal.check(kept.message, len(kept.payload), ItemLimits())
    assert (again.kept, again.rejected.total()) == (verdict.kept, 0)
    return "kept" if verdict.kept else "rejected" if verdict.rejected else "empty"


outcomes = Counter[str]()


def one_input(data: bytes) -> None:
    """Take an input; report now and then what came of all so far, and the most memory that the process had."""
    outcomes[take(data)] += 1
    if (total := outcomes.total()) % REPORT_EVERY == 0:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{total} inputs: {dict(outcomes)}, peak memory {peak} MiB", flush=True)


def write_seeds(folder: Path) -> None:
    """Write each whole request under each compression; they come as traces, then logs, in protobuf, then JSON."""
    for number, body in enumerate(whole_requests()):
        for index in range(3):
            choice = number >> 1 | (number & 1) << 1 | index << 3
            (folder / f"{number}-{index}").write_bytes(bytes([choice]) + body)


if __name__ == "__main__":
    corpus = Path(tempfile.mkdtemp(prefix="qualitrace-fuzz-"))
    write_seeds(corpus)
    # libFuzzer stops at the first crash and writes its input beside the corpus.
    atheris.Setup([*sys.argv, f"-artifact_prefix={corpus}-", str(corpus)], one_input)
    atheris.Fuzz()
