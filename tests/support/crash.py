"""Kills the service at random moments under load, and counts what became of every acked trace.

`python -m support.crash [--kills 50] [--seed SEED]`
"""

import random
import sys
import threading
from collections import Counter
from pathlib import Path

from support.load import Load
from support.long_run import long_run
from support.serving import Server
from support.tally import Tally, count, is_settled
from support.waiting import eventually

JUDGES = ("relevance", "toxicity")
TARGETS = ("receive", "work", "all")
LONGEST_PAUSE_SECONDS = 6.0
PAUSE_SECONDS = 0.4
SETTLE_SECONDS = 900.0


def crash_run(folder: Path, kills: int, seed: str) -> tuple[Counter[str], Tally]:
    """Run a server in `folder` under load, kill it `kills` times, wait until all is done, and count.

    Moments and targets come from `seed`; of three kills in a row each hits another target.
    """
    rng = random.Random(seed)
    server = Server(
        folder, judges=list(JUDGES), sampling={"rate": 0.5}, assembly={"quiet_period": "1s", "max_open": "5s"}
    )
    server.start()
    load = Load(server.http, server.grpc, seed=seed, pause=PAUSE_SECONDS).start()
    killed: Counter[str] = Counter()
    try:
        for number in range(kills):
            if number % len(TARGETS) == 0:
                targets = rng.sample(TARGETS, len(TARGETS))
            threading.Event().wait(rng.uniform(0, LONGEST_PAUSE_SECONDS))
            kill(server, targets[number % len(TARGETS)])
            killed[targets[number % len(TARGETS)]] += 1
            print(f"kill {number + 1}: {targets[number % len(TARGETS)]}, {len(load.acked)} acked", flush=True)
        load.stop()
        eventually(lambda: is_settled(folder / "data"), SETTLE_SECONDS, interval=0.5)
        assert server.stop() == 0
    finally:
        server.crash()
    return killed, count(folder / "data", load.acked, JUDGES)


def kill(server: Server, target: str) -> None:
    """Kill `receive`, `work` or all; start the service again if it was all."""
    if target == "all":
        server.crash()
        server.start()
    else:
        eventually(lambda: target in server.children(), timeout=60)
        server.kill(target)


def main() -> int:
    """Print the table; exit with 1 if anything is lost, cut, doubled or missing."""
    with long_run("crash", "kills", 50) as (folder, kills, seed):
        killed, tally = crash_run(folder, kills, seed)
    print(f"{'kills':16} {killed.total()} ({', '.join(f'{name} {number}' for name, number in killed.items())})")
    print(tally.table())
    return 0 if tally.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
