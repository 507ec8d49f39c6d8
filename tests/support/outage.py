"""Takes MLflow away under full load: the journal takes over, refuses when it is full, and drains afterwards.

`python -m support.outage [--seconds 60] [--max-size 256]`
"""

import argparse
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from support.load import Load
from support.memory import Memory
from support.serving import Server
from support.sqlite_lock import locked
from support.tally import Tally, count, is_settled
from support.waiting import eventually

JUDGES = ("toxicity",)
PADDING = 8192
DRAIN_SECONDS = 900.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an outage did.

    Attributes:
        acked_meanwhile: traces acked while MLflow was away.
        refused: requests answered 503, and with which Retry-After.
        memory: largest resident size by process, in MB.
        drained_in: seconds from MLflow's return until all was stored and judged.
    """

    acked_meanwhile: int
    refused: int
    retry_after: set[str | None]
    memory: dict[str, float]
    drained_in: float
    tally: Tally


def outage_run(folder: Path, seconds: float, max_size: int, threads: int = 8) -> Outcome:
    """Run a server in `folder` under full load, and lock MLflow's database for `seconds`, and until the journal is full.

    Args:
        max_size: the journal's, in bytes.
    """
    server = Server(folder, judges=list(JUDGES), sampling={"rate": 0.5}, journal={"max_size": max_size})
    server.start()
    memory = Memory(server.children).start()
    load = Load(server.http, server.grpc, seed="outage", threads=threads, pause=0, padding=PADDING)
    try:
        with locked(folder / "data" / "mlflow.db"):
            load.start()
            threading.Event().wait(seconds)
            eventually(lambda: load.answers[503] > 0 and None not in load.retry_after, timeout=120)
            meanwhile = len(load.acked)
        returned = time.monotonic()
        load.stop(DRAIN_SECONDS)
        eventually(lambda: is_settled(folder / "data"), DRAIN_SECONDS, interval=0.5)
        drained_in = time.monotonic() - returned
        memory.stop()
        assert server.stop() == 0
    finally:
        server.crash()
    return Outcome(
        acked_meanwhile=meanwhile,
        refused=load.answers[503],
        retry_after=load.retry_after,
        memory=memory.largest,
        drained_in=drained_in,
        tally=count(folder / "data", load.acked, JUDGES),
    )


def main() -> int:
    """Print the counts; exit with 1 if anything is lost, cut, doubled or missing."""
    parser = argparse.ArgumentParser(prog="support.outage")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--max-size", type=int, default=256, metavar="MB")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qualitrace-outage-") as folder:
        outcome = outage_run(Path(folder), arguments.seconds, arguments.max_size * 1_000_000)
    print(f"{'acked meanwhile':16} {outcome.acked_meanwhile}")
    print(f"{'refused':16} {outcome.refused} (Retry-After {', '.join(map(str, outcome.retry_after))})")
    print(f"{'largest RSS':16} {', '.join(f'{name} {size:.0f} MB' for name, size in outcome.memory.items())}")
    print(f"{'drained in':16} {outcome.drained_in:.0f} s")
    print(outcome.tally.table())
    return 0 if outcome.tally.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
