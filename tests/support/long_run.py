"""What long runs share that are drawn from a seed: their options, a folder, and how long they took."""

import argparse
import secrets
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

N = TypeVar("N", int, float)


@contextmanager
def long_run(name: str, unit: str, default: N) -> Generator[tuple[Path, N, str]]:
    """Read the command line of `python -m support.NAME [--UNIT n] [--seed SEED]`.

    Gives an empty folder, how long the run is to be in its unit, and the seed.
    """
    parser = argparse.ArgumentParser(prog=f"support.{name}")
    parser.add_argument(f"--{unit}", dest="length", type=type(default), default=default)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    arguments = parser.parse_args()
    print(f"{arguments.length} {unit}; repeat with --seed {arguments.seed}", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"qualitrace-{name}-") as folder:
        yield Path(folder), arguments.length, arguments.seed
    print(f"after {time.monotonic() - started:.0f} s:")
