"""Connections that never get on, in short; `python -m support.loris` is the long form."""

from pathlib import Path

from support.loris import loris_run

MAX_MEGABYTES = 600
LOG_BYTES = 20_000


def test_connections_that_never_get_on_stop_nothing(tmp_path: Path):
    """More than a thousand at the web port, and as many at OTLP's: all is stored and judged, and health is answered."""
    outcome = loris_run(tmp_path, seconds=3, connections=1200)
    assert outcome.tally.is_clean, outcome.tally.table()
    assert outcome.tally.acked > 0
    assert outcome.ready.keys() == {200}
    assert outcome.log_bytes < LOG_BYTES
    assert set(outcome.memory) == {"receive", "work"}
    assert max(outcome.memory.values()) < MAX_MEGABYTES
