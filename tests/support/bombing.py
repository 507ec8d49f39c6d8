"""Sends bombs while another sender sends small traces, and measures.

`python -m support.bombing [--only WORD]` prints a line for each: what was sent and answered, how long the server took,
how much memory each of its processes took, and how late others' traces came.
"""

import argparse
import gzip
import secrets
import sqlite3
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
import httpx
import psutil

from support.bombs import BOMBS, LAWFUL, LOGS_PATH, PROTOBUF, TRACES, Bomb
from support.memory import Memory
from support.otlp import rag_trace, request
from support.serving import Server
from support.waiting import eventually

METHODS = {
    TRACES: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    LOGS_PATH: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
PAUSE_SECONDS = 0.05
ANSWER_SECONDS = 300.0

MAX_DELAY = 0.5  # of another sender's request
MAX_DELAY_TO_MLFLOW = 10.0
MAX_RSS_MEGABYTES = 600.0


class OtherSender:
    """Sends a small trace now and then over HTTP and notes the longest time until an answer."""

    def __init__(self, server: Server) -> None:
        self.longest = 0.0
        self.answers: set[int] = set()
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "OtherSender":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(ANSWER_SECONDS)

    def _run(self) -> None:
        with httpx.Client(timeout=ANSWER_SECONDS) as client:
            while not self._stop.wait(PAUSE_SECONDS):
                started = time.monotonic()
                answer = client.post(
                    self._server.endpoint + TRACES, content=small_trace()[1], headers={"content-type": PROTOBUF}
                )
                self.answers.add(answer.status_code)
                self.longest = max(self.longest, time.monotonic() - started)


def small_trace() -> tuple[str, bytes]:
    """Return MLflow's id of a trace as applications send it, and the request."""
    number = secrets.randbits(128) | 1
    spans = rag_trace(number, question="How long?", answer="24 months.", passages=["24 months."])
    return f"tr-{spans[0].trace_id.hex()}", request(spans).SerializeToString()


@dataclass
class Measured:
    """What a request did.

    Attributes:
        sent: bytes on the way.
        answer: its status and message.
        seconds: until it was answered.
        memory: largest resident size by process, in MB.
        delay: of the other sender's slowest request, in seconds.
        to_mlflow: seconds until a normal trace that was sent behind it was stored.
        others: the other sender's answers.
    """

    bomb: str
    door: str
    sent: int = 0
    answer: str = ""
    seconds: float = 0.0
    memory: dict[str, float] = field(default_factory=dict)
    delay: float = 0.0
    to_mlflow: float = 0.0
    others: set[int] = field(default_factory=set[int])

    @property
    def in_bounds(self) -> bool:
        return (
            self.delay <= MAX_DELAY
            and self.to_mlflow <= MAX_DELAY_TO_MLFLOW
            and max(self.memory.values()) <= MAX_RSS_MEGABYTES
        )

    def line(self) -> str:
        memory = ", ".join(f"{name} {size:.0f}" for name, size in sorted(self.memory.items()))
        mark = " " if self.in_bounds else "!"
        return (
            f"{mark} {self.bomb:38} {self.door:4} {self.sent:>9,} {self.seconds:6.2f} {self.delay:6.2f} "
            f"{self.to_mlflow:6.2f}  {memory:48} {self.answer[:110]}"
        )


HEADING = f"  {'bomb':38} {'door':4} {'bytes':>9} {'answer':>6} {'other':>6} {'MLflow':>6}  {'peak RSS, MB':48} answer"


def measure(server: Server, bomb: Bomb, door: str) -> Measured:
    """Send a bomb, with a normal trace behind it."""
    measured = Measured(bomb.name, door)
    body = gzip.compress(bomb.make(), 6)
    measured.sent = len(body)
    with Memory(partial(_processes, server)) as memory, OtherSender(server) as other:
        sending = threading.Thread(target=_send, args=(server, bomb, door, body, measured))
        sending.start()
        sending.join()
        trace_id, normal = small_trace()
        behind = time.monotonic()
        server.send(normal)
        eventually(lambda: _is_stored(server, trace_id), ANSWER_SECONDS)
        measured.to_mlflow = time.monotonic() - behind
    measured.delay, measured.memory, measured.others = other.longest, memory.largest, other.answers
    return measured


def drop(server: Server, bomb: Bomb, door: str) -> None:
    """Send a bomb, also while the server is down."""
    with suppress(httpx.TransportError):
        _send(server, bomb, door, gzip.compress(bomb.make(), 6), Measured(bomb.name, door))


def _send(server: Server, bomb: Bomb, door: str, body: bytes, measured: Measured) -> None:
    started = time.monotonic()
    if door == "http":
        headers = {"content-type": bomb.kind, "content-encoding": "gzip"}
        got = httpx.post(server.endpoint + bomb.path, content=body, headers=headers, timeout=ANSWER_SECONDS)
        measured.answer = f"{got.status_code} {got.content!r}"
    else:
        with grpc.insecure_channel(server.grpc, compression=grpc.Compression.Gzip) as channel:
            try:
                got = channel.unary_unary(METHODS[bomb.path])(gzip.decompress(body), timeout=ANSWER_SECONDS)
                measured.answer = f"OK {got!r}"
            except grpc.RpcError as error:
                measured.answer = f"{error.code().name} {error.details()}"
    measured.seconds = time.monotonic() - started


def _is_stored(server: Server, trace_id: str) -> bool:
    path = server.folder / "data" / "mlflow.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        query = "SELECT count(*) FROM spans WHERE trace_id = ?"
        return connection.execute(query, (trace_id,)).fetchone() != (0,)


def _processes(server: Server) -> dict[str, int]:
    """Return the pids of the supervised processes and their own children, by name."""
    found = server.children()
    for name, pid in list(found.items()):
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(pid).children()
            found |= {f"{name}'s {number}": child.pid for number, child in enumerate(children, 1)}
    return found


def main() -> int:
    """Print the table; exit with 1 if anything is out of bounds."""
    parser = argparse.ArgumentParser(prog="support.bombing")
    parser.add_argument("--only", default="", help="bombs whose name has this in it")
    parser.add_argument("--door", default="", help="http or grpc alone")
    arguments = parser.parse_args()
    print(HEADING, flush=True)
    results: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="qualitrace-bombs-") as folder:
        server = Server(Path(folder), judges=[]).start()
        try:
            for bomb in (*BOMBS, *LAWFUL):
                for door in bomb.doors:
                    if arguments.only in bomb.name and arguments.door in ("", door):
                        results.append(measure(server, bomb, door))
                        print(results[-1].line(), flush=True)
        finally:
            server.stop()
    return 0 if all(result.in_bounds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
