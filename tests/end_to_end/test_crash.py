"""SIGKILL at random moments under load, in short; `make crash` is the long form."""

import secrets
from pathlib import Path

from support.crash import crash_run


def test_kills_at_random_moments_lose_and_double_nothing(tmp_path: Path):
    """A kill of the doors, of work and of all: every acked trace is stored whole and judged once, and the ledger adds up."""
    seed = secrets.token_hex(4)
    killed, tally = crash_run(tmp_path, 3, seed)
    assert set(killed) == {"receive", "work", "all"}
    assert tally.acked > 0
    assert tally.is_clean, f"seed {seed}\n{tally.table()}"
