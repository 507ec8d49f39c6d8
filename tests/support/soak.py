"""Runs the service for long under load, bombs and kills; counts what became of every acked trace, and how fast.

`python -m support.soak [--minutes 20] [--seed SEED]`
"""

import random
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.bombing import drop
from support.bombs import BOMBS
from support.crash import JUDGES, TARGETS, kill
from support.load import Load
from support.long_run import long_run
from support.memory import Memory
from support.serving import Server
from support.tally import Tally, count, is_settled, rows
from support.waiting import eventually

KILL_SECONDS = 60.0
BOMB_SECONDS = 15.0
SETTLE_SECONDS = 300.0
PAUSE_SECONDS = 0.4


def memory_table(sizes: Mapping[str, Sequence[float]]) -> str:
    """Return a line for each process: the medians of the first and the last third, and the largest."""
    lines: list[str] = []
    for name, values in sorted(sizes.items()):
        third = max(1, len(values) // 3)
        first, last = statistics.median(values[:third]), statistics.median(values[-third:])
        lines.append(f"{name + ' MB':16} first third {first:.0f}, last third {last:.0f}, largest {max(values):.0f}")
    return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a soak did.

    Attributes:
        killed: kills by target.
        dropped: bombs by name.
        dead_letters: what was put aside.
        delays: seconds from the ack of a trace until each of its scores, in order.
    """

    killed: Counter[str]
    dropped: Counter[str]
    dead_letters: float
    delays: list[float]
    memory: str
    tally: Tally

    @property
    def is_clean(self) -> bool:
        """Nothing of the load is lost, cut, doubled or unjudged. Bombs of which a span was kept make other traces."""
        return (
            self.tally.found == self.tally.acked
            and self.tally.judged == self.tally.due
            and not (self.tally.incomplete or self.tally.duplicates or self.dead_letters)
        )


def soak_run(folder: Path, seconds: float, seed: str) -> Outcome:
    """Run a server in `folder` under load for `seconds`; kill a process and drop bombs at intervals, chosen by `seed`."""
    rng = random.Random(seed)
    server = Server(
        folder, judges=list(JUDGES), sampling={"rate": 0.5}, assembly={"quiet_period": "1s", "max_open": "5s"}
    ).start()
    memory = Memory(server.children).start()
    load = Load(server.http, server.grpc, seed=seed, pause=PAUSE_SECONDS).start()
    killed: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    try:
        ends, next_kill = time.monotonic() + seconds, time.monotonic() + KILL_SECONDS
        while time.monotonic() < ends:
            threading.Event().wait(BOMB_SECONDS * rng.uniform(0.5, 1.5))
            bomb = rng.choice(BOMBS)
            drop(server, bomb, rng.choice(bomb.doors))
            dropped[bomb.name] += 1
            if time.monotonic() > next_kill:
                target, next_kill = rng.choice(TARGETS), next_kill + KILL_SECONDS
                kill(server, target)
                killed[target] += 1
                print(f"{ends - time.monotonic():.0f} s left, {len(load.acked)} acked, killed {target}", flush=True)
        load.stop()
        eventually(lambda: is_settled(folder / "data"), SETTLE_SECONDS, interval=0.5)
        dead_letters = server.sample("qualitrace_dead_letters")
        memory.stop()
        assert server.stop() == 0
    finally:
        server.crash()
    scored = rows(folder / "data" / "state.db", "SELECT trace_id, scored_at FROM score")
    return Outcome(
        killed=killed,
        dropped=dropped,
        dead_letters=dead_letters,
        delays=sorted(at - load.acked[trace] for trace, at in scored if trace in load.acked),
        memory=memory_table(memory.sizes),
        tally=count(folder / "data", load.acked, JUDGES),
    )


def main() -> int:
    """Print the counts; exit with 1 if anything is lost, cut, doubled or missing."""
    with long_run("soak", "minutes", 20.0) as (folder, minutes, seed):
        outcome = soak_run(folder, minutes * 60, seed)
    cuts = statistics.quantiles(outcome.delays, n=100)
    print(f"{'kills':16} {outcome.killed.total()} ({', '.join(f'{k} {n}' for k, n in outcome.killed.items())})")
    print(f"{'bombs':16} {outcome.dropped.total()} ({', '.join(f'{k} {n}' for k, n in outcome.dropped.items())})")
    print(f"{'dead letters':16} {outcome.dead_letters:.0f}")
    print(outcome.memory)
    print(f"{'ack to score':16} p50 {cuts[49]:.1f} s, p95 {cuts[94]:.1f} s, p99 {cuts[98]:.1f} s")
    print(outcome.tally.table())
    return 0 if outcome.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
