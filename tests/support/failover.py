"""Takes PostgreSQL away under load in every way that a database goes away; counts what became of every acked trace.

Two servers, each with a journal of its own, store into one MLflow database through a proxy.
`python -m support.failover [--seconds 10] [--only WORD]`
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from support.load import Load
from support.postgres import FAST, Postgres, postgres_folder
from support.postgres_faults import APP, DATABASE, FAULTS, Fault, World
from support.serving import Server
from support.tally import Tally, count, is_settled
from support.tcp_proxy import tcp_proxy
from support.waiting import eventually

JUDGES = ("toxicity",)
PAUSE_SECONDS = 0.4
PADDING = 2_000
JOURNAL_BYTES = 16_000_000
START_SECONDS = 300.0
NOTICE_SECONDS = 60.0
RECOVERY_SECONDS = 300.0
SETTLE_SECONDS = 600.0
SETTINGS = FAST | {"max_connections": "40", "deadlock_timeout": "200ms"}


@dataclass(frozen=True, kw_only=True)
class Stall:
    """What one fault did.

    Attributes:
        acked: traces acked while it lasted.
        said: what `/readyz` called degraded, with reasons.
        recovered_in: seconds from its end until both servers stored again.
    """

    fault: str
    acked: int
    said: dict[str, str]
    recovered_in: float


@dataclass(kw_only=True)
class Outcome:
    """Attributes: `tallies`, one for each server; `deadlocks` that PostgreSQL broke; `dead_letters` of all servers."""

    stalls: list[Stall] = field(default_factory=list[Stall])
    tallies: list[Tally] = field(default_factory=list[Tally])
    deadlocks: int = 0
    dead_letters: float = 0

    @property
    def is_clean(self) -> bool:
        """Nothing lost, cut, doubled, missing or put aside."""
        return all(tally.is_clean for tally in self.tallies) and not self.dead_letters


def failover_run(folder: Path, faults: Sequence[Fault], seconds: float) -> Outcome:
    """Run two servers under load, bring about each fault for `seconds`, wait until all is done, and count."""
    outcome = Outcome()
    with ExitStack() as stack:
        folders = [stack.enter_context(postgres_folder(name)) for name in ("primary", "standby")]
        primary = Postgres(folders[0], settings=SETTINGS).start()
        stack.callback(lambda: world.postgres.stop())  # noqa: PLW0108  # another one, once a standby is promoted
        proxy = stack.enter_context(tcp_proxy(primary.port))
        world = World(primary, proxy, folders[1])
        primary.execute(f"CREATE ROLE {APP} LOGIN", f"CREATE DATABASE {DATABASE} OWNER {APP}")
        servers = [_server(folder / name, proxy.port) for name in ("one", "other")]
        for server in servers:
            stack.callback(server.crash)
            server.launch()
            eventually(lambda server=server: server.lines, START_SECONDS)
        loads = [
            Load(server.http, server.grpc, seed=server.folder.name, threads=2, pause=PAUSE_SECONDS, padding=PADDING)
            for server in servers
        ]
        for load in loads:
            load.start()
        for fault in faults:
            stall = _stall(world, fault, servers, loads, seconds)
            outcome.stalls.append(stall)
            print(f"{stall.fault:24} {stall.acked:6} {stall.recovered_in:6.1f} s  {stall.said}", flush=True)
        for load in loads:
            load.stop()
        for server in servers:
            eventually(lambda server=server: is_settled(server.folder / "data"), SETTLE_SECONDS, interval=0.5)
            outcome.dead_letters += server.sample("qualitrace_dead_letters")
            assert server.stop() == 0
        ((outcome.deadlocks,),) = world.postgres.execute(
            "SELECT sum(deadlocks) FROM pg_stat_database WHERE datname = current_database()", database=DATABASE
        )
        for server, load, other in zip(servers, loads, reversed(loads), strict=True):
            data, uri = server.folder / "data", world.postgres.uri + DATABASE
            outcome.tallies.append(count(data, load.acked, JUDGES, uri, other.acked))
    return outcome


def _server(folder: Path, port: int) -> Server:
    folder.mkdir()
    return Server(
        folder,
        mlflow={"tracking_uri": f"postgresql://{APP}@127.0.0.1:{port}/{DATABASE}"},
        judges=list(JUDGES),
        sampling={"rate": 0.5},
        assembly={"quiet_period": "1s", "max_open": "5s"},
        journal={"max_size": JOURNAL_BYTES},
    )


def _stall(world: World, fault: Fault, servers: Sequence[Server], loads: Sequence[Load], seconds: float) -> Stall:
    said: dict[str, str] = {}

    def look() -> bool:
        for server in servers:
            status, problems = readiness(server)
            assert status == httpx.codes.OK, "OTLP was not acked any more"
            said.update(problems)
        return bool(said)

    before = sum(len(load.acked) for load in loads)
    with fault.happening(world):
        begun = time.monotonic()
        if fault.lasts:
            eventually(look, NOTICE_SECONDS, interval=0.5)
        eventually(lambda: time.monotonic() - begun > seconds, seconds + 1)
        look()
        acked = sum(len(load.acked) for load in loads) - before
    ended = time.monotonic()
    for server in servers:
        eventually(lambda server=server: not readiness(server)[1], RECOVERY_SECONDS, interval=0.2)
        stored = _stored(server)
        eventually(lambda server=server, stored=stored: _stored(server) > stored, RECOVERY_SECONDS, interval=0.2)
    return Stall(fault=fault.name, acked=acked, said=said, recovered_in=time.monotonic() - ended)


def readiness(server: Server) -> tuple[int, dict[str, str]]:
    """Return the status of `/readyz`, and the reason of each component that is not well."""
    answer = httpx.get(f"http://{server.web}/readyz", timeout=5)
    report: dict[str, Any] = answer.json()
    return answer.status_code, {each["component"]: each["reason"] for each in report["degraded"]}


def _stored(server: Server) -> float:
    return server.sample("qualitrace_traces_total", outcome="stored")


def main() -> int:
    """Print the counts; exit with 1 if anything is lost, cut, doubled, missing or a dead letter."""
    parser = argparse.ArgumentParser(prog="support.failover")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each fault lasts")
    parser.add_argument("--only", default="", metavar="WORD", help="faults with this word in their name")
    arguments = parser.parse_args()
    faults = [fault for fault in FAULTS if arguments.only in fault.name]
    print(f"{'fault':24} {'acked':>6} {'stored again after':>8}  what /readyz said", flush=True)
    with tempfile.TemporaryDirectory(prefix="qualitrace-failover-") as folder:
        outcome = failover_run(Path(folder), faults, arguments.seconds)
    for tally in outcome.tallies:
        print(tally.table())
    print(f"{'dead letters':16} {outcome.dead_letters:.0f}\n{'deadlocks':16} {outcome.deadlocks}")
    return 0 if outcome.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
