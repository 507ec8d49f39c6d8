"""Shared by the tests of the monitors: a state database, scores in it, the web port, a receiver of webhooks."""

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from qualitrace_collector.state import Database, ledger, queue
from qualitrace_monitors import alerts, notify, scores
from qualitrace_monitors.scores import ScoreRow
from support.web import WebStand

STATE_SCHEMA = (*ledger.SCHEMA, *queue.SCHEMA, *scores.SCHEMA, *alerts.SCHEMA, *notify.SCHEMA)

AddScore = Callable[..., str]
OpenDatabase = Callable[[Path], Database]


@pytest.fixture
def open_database() -> OpenDatabase:
    """Open a state database with every table that the monitors use."""
    return lambda path: Database(path, STATE_SCHEMA)


@pytest.fixture
def database(tmp_path: Path, open_database: OpenDatabase) -> Iterator[Database]:
    """Provide an empty state database."""
    opened = open_database(tmp_path / "state.db")
    yield opened
    opened.close()


@pytest.fixture
def add_score() -> AddScore:
    """Write a score of a new trace into a database; gives the trace's id."""
    numbers = itertools.count(1)

    def add(into: Database, label: str, at: float, *, value: float | None = None, **changes: object) -> str:
        trace_id = f"tr-{next(numbers):032x}"
        default_value = {"pass": 1.0, "unsure": 0.5, "fail": 0.0}[label]
        row: dict[str, Any] = {
            "trace_id": trace_id,
            "judge": "groundedness",
            "version": "1",
            "tier": "local",
            "service": "shop",
            "model": "m",
            "prompt_version": "",
            "value": default_value if value is None else value,
            "label": label,
            "rationale": "",
            "inclusion_probability": 1.0,
            "assessment_id": "a",
            "tokens": 0,
            "cost_usd": None,
            "completed_at": at,
            "scored_at": at,
            **changes,
        }
        with into.transaction() as connection:
            ScoreRow(**row).save(connection)
        return trace_id

    return add


@pytest.fixture
def open_web(database: Database) -> Iterator[Callable[..., WebStand]]:
    """Start web ports over the database; sections of the configuration are keywords."""
    stands: list[WebStand] = []

    def open_stand(**config: object) -> WebStand:
        stands.append(WebStand(database, config))
        stands[-1].server.start()
        return stands[-1]

    yield open_stand
    for stand in stands:
        stand.server.stop()


@pytest.fixture
def web(open_web: Callable[..., WebStand]) -> WebStand:
    """Provide a started web port with the default configuration."""
    return open_web()


@dataclass
class WebhookReceiver:
    """A real HTTP server on loopback that keeps what it is sent.

    Attributes:
        answers: (status, headers) for the next requests; 200 when they are used up.
        received: (headers, body) of each request, in order.
    """

    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list[tuple[int, dict[str, str]]])
    received: list[tuple[dict[str, str], str]] = field(default_factory=list[tuple[dict[str, str], str]])
    port: int = 0
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def start(self) -> None:
        """Listen; after a `stop` on the same port again."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Close the port, so that connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.append((headers, body))
                status, answer_headers = receiver.answers.pop(0) if receiver.answers else (200, {})
                self.send_response(status)
                for name, value in {"Content-Length": "0", **answer_headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Keep the test output quiet."""

        return Handler


@pytest.fixture
def webhook_receiver() -> Iterator[WebhookReceiver]:
    """Provide a started receiver of webhooks."""
    receiver = WebhookReceiver()
    receiver.start()
    yield receiver
    receiver.stop()
