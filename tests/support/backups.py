"""Backs up a server under load at random moments, kills it or the backup in between, and counts what a restore brings.

`python -m support.backups [--rounds 20] [--seed SEED]`
"""

import json
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from support.load import Load
from support.long_run import long_run
from support.serving import QUALITRACE, Server, environment
from support.sqlite_lock import locked
from support.tally import count, is_settled, ledger, rows
from support.waiting import eventually

JUDGES = ("relevance", "toxicity")
LONGEST_PAUSE_SECONDS = 5.0
PAUSE_SECONDS = 0.4
SETTLE_SECONDS = 300.0
BEGIN_SECONDS = 120.0
ASSEMBLY = {"quiet_period": "2s", "max_open": "5s", "orphan_period": "5s"}

EVENTS = ("none", "server killed at a random moment", "server killed before MLflow", "backup killed")
"""What happens during a backup."""


def begin(command: str, server: Server, *options: str) -> subprocess.Popen[str]:
    """Start `qualitrace backup` or `restore` with a server's configuration."""
    return subprocess.Popen(
        [*QUALITRACE, command, "--config", str(server.config_path), *options],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        umask=0o022,
    )


def succeed(process: subprocess.Popen[str]) -> str:
    """Wait for a command; return what it printed. Fails if that one failed."""
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0, printed
    return printed


@dataclass
class Restored:
    """What a server does with a restored backup.

    Attributes:
        acked: traces that were acked before the backup began.
        lost, cut, doubled, unjudged: of these; doubled are spans, assessments and scores.
        foreign: traces in MLflow that nobody sent.
        ledger: whether its totals are those of the rows.
    """

    acked: int = 0
    lost: int = 0
    cut: int = 0
    doubled: int = 0
    unjudged: int = 0
    foreign: int = 0
    ledger: bool = True

    @property
    def is_clean(self) -> bool:
        """Nothing is lost, cut, doubled, unjudged or foreign."""
        return self.ledger and not (self.lost or self.cut or self.doubled or self.unjudged or self.foreign)


def restored(source: Path, like: Server, acked: Mapping[str, float], sent: set[str] | None = None) -> Restored:
    """Restore a backup into a folder of its own beside it, serve it until all is done, and count.

    Args:
        acked: when each trace was acked; those that were before the backup began are looked for.
        sent: those that were ever sent; None if others may be there.
    """
    folder = source.with_name(f"{source.name}-restored")
    folder.mkdir()
    judges, sampling = like.config["judges"], like.config["sampling"]
    server = Server(folder, judges=judges, sampling=sampling, assembly=ASSEMBLY)
    succeed(begin("restore", server, "--from", str(source)))
    data = folder / "data"
    try:
        server.start()
        eventually(lambda: is_settled(data) and not rows(data / "state.db", "SELECT 1 FROM unfinished"), SETTLE_SECONDS)
    finally:
        server.crash()
    began = datetime.fromisoformat(json.loads((source / "manifest.json").read_text())["began_at"]).timestamp()
    tally = count(data, [trace for trace, at in acked.items() if at < began], judges)
    there = {trace for (trace,) in rows(data / "mlflow.db", "SELECT request_id FROM trace_info")}
    return Restored(
        acked=tally.acked,
        lost=tally.acked - tally.found,
        cut=tally.incomplete,
        doubled=tally.duplicates,
        unjudged=tally.due - tally.judged,
        foreign=0 if sent is None else len(there - sent),
        ledger=_ledger_adds_up(data),
    )


def _ledger_adds_up(data: Path) -> bool:
    traces = Counter(("", outcome) for (outcome,) in rows(data / "state.db", "SELECT outcome FROM trace"))
    scores = Counter((judge, "scored") for (judge,) in rows(data / "state.db", "SELECT judge FROM score"))
    found = {key: total for key, total in ledger(data).items() if key[1] in ("stored", "scored")}
    return found == dict(traces + scores)


@dataclass
class Outcome:
    """What the rounds brought.

    Attributes:
        events: how often each was.
        copied: MLflow's, journal's and state's copies that were there when a process was killed.
        restored: one for each backup that was finished.
    """

    events: Counter[str] = field(default_factory=Counter[str])
    copied: Counter[str] = field(default_factory=Counter[str])
    restored: list[Restored] = field(default_factory=list[Restored])


def backup_run(folder: Path, rounds: int, seed: str) -> Outcome:
    """Run a server in `folder` under load, and back it up `rounds` times; moments and events come from `seed`."""
    rng, outcome = random.Random(seed), Outcome()
    server = Server(folder, judges=list(JUDGES), sampling={"rate": 0.5}, assembly=ASSEMBLY).start()
    load = Load(server.http, server.grpc, seed=seed, threads=2, pause=PAUSE_SECONDS).start()
    finished: list[Path] = []
    try:
        for number in range(rounds):
            threading.Event().wait(rng.uniform(0, LONGEST_PAUSE_SECONDS))
            event = EVENTS[number % len(EVENTS)]
            outcome.events[event] += 1
            target = folder / f"backup-{number}"
            if back_up(server, target, event, rng, outcome.copied):
                finished.append(target)
            if event.startswith("server killed"):
                server.start()
            print(f"backup {number + 1}: {event}, {len(load.acked)} acked", flush=True)
        load.stop()
    finally:
        server.crash()
    for target in finished:
        outcome.restored.append(restored(target, server, load.acked, load.sent))
        print(f"{target.name}: {outcome.restored[-1]}", flush=True)
    return outcome


def back_up(server: Server, target: Path, event: str, rng: random.Random, copied: Counter[str]) -> bool:
    """Back up while something happens; return whether there is a backup."""
    before_mlflow = event == "server killed before MLflow"
    with locked(server.folder / "data" / "mlflow.db") if before_mlflow else nullcontext():
        backup = begin("backup", server, "--to", str(target))
        unfinished = target.with_name(f"{target.name}.unfinished")
        if event != "none":
            _wait_for_moment(target, "state.db" if before_mlflow else "", rng)
            there = sorted(path.name for path in unfinished.glob("*.db")) if unfinished.exists() else ["all"]
            copied[", ".join(there) or "none"] += 1
        if event.startswith("server killed"):
            server.crash()
        if event == "backup killed":
            backup.send_signal(signal.SIGKILL)
    if event == "backup killed":
        backup.communicate(timeout=60)
        assert not (target.exists() and unfinished.exists())
    else:
        succeed(backup)
    return target.exists()


def _wait_for_moment(target: Path, name: str, rng: random.Random) -> None:
    """Wait until the backup has begun, and for a random while; or until a file of it is there."""
    unfinished = target.with_name(f"{target.name}.unfinished")
    if name:
        eventually((unfinished / name).exists, BEGIN_SECONDS, interval=0.001)
    else:
        eventually(lambda: unfinished.exists() or target.exists(), BEGIN_SECONDS, interval=0.001)
        threading.Event().wait(rng.uniform(0, 0.1))


def main() -> int:
    """Print the counts; exit with 1 if anything is lost, cut, doubled or unjudged."""
    with long_run("backups", "rounds", 20) as (folder, rounds, seed):
        outcome = backup_run(folder, rounds, seed)
    for name, number in outcome.events.items():
        print(f"{name:44} {number}")
    for name, number in outcome.copied.items():
        print(f"{'killed with copies of ' + name:44} {number}")
    print(f"{'restored':44} {len(outcome.restored)}")
    for name in ("acked", "lost", "cut", "doubled", "unjudged", "foreign"):
        print(f"{name:44} {sum(getattr(each, name) for each in outcome.restored)}")
    print(f"{'ledgers that add up':44} {sum(each.ledger for each in outcome.restored)}")
    return 0 if all(each.is_clean for each in outcome.restored) else 1


if __name__ == "__main__":
    sys.exit(main())
