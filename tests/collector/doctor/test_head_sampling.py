"""`qualitrace doctor` finds applications that sample their traces and do not say so."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from qualitrace_collector.state import Database


def ids(seed: int) -> Iterator[int]:
    """Yield random trace ids."""
    source = random.Random(seed)
    while True:
        yield source.getrandbits(128)


def of_python(number: int) -> bool:
    """The Python SDK's sampler, at 1 in 16."""
    return TraceIdRatioBased(1 / 16).should_sample(None, number, "chat").decision is Decision.RECORD_AND_SAMPLE


def of_java(number: int) -> bool:
    """The Java SDK's rule at 1 in 16: the low 64 bits as a signed number are close to 0."""
    low = number & (2**64 - 1)
    return min(low, 2**64 - low) < 2**63 / 16


def consistent(number: int) -> bool:
    """A consistent sampler at 1 in 16, which says so: high low bits are kept."""
    return number & (2**56 - 1) >= 2**56 * 15 / 16


@pytest.mark.parametrize(("keeps", "found"), [(of_python, True), (of_java, True), (consistent, False), (bool, False)])
def test_a_silent_head_sampler_is_found(
    keeps: Callable[[int], bool], found: bool, ask: Callable[..., Result], tmp_path: Path
):
    """The service is named with about the share that arrives; one with random ids, or a consistent sampler, is not."""
    database, numbers = Database(tmp_path / "state.db"), filter(keeps, ids(14))
    with database.transaction() as connection:
        for at in range(200):
            row = (f"tr-{next(numbers):032x}", "shop", "stored", 1, at)
            columns = "trace_id, service, outcome, root_seen, recorded_at"
            connection.execute(f"INSERT INTO trace ({columns}) VALUES (?, ?, ?, ?, ?)", row)
        connection.execute(
            "INSERT INTO ledger (judge, service, outcome, total, counted) VALUES ('', 'shop', 'stored', 200, 200)"
        )
    reported = json.loads(ask("--json").output)["head_sampled"]
    assert [entry["service"] for entry in reported] == (["shop"] if found else [])
    for entry in reported:
        assert entry["share"] == pytest.approx(1 / 16, rel=0.05)
    shown = "sampling (shop): about 1 in 1" in " ".join(ask().output.split())
    assert shown is found
