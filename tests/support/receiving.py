"""The receive process's doors, run in a thread of the test's own process on free ports."""

import asyncio
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from qualitrace_collector.config.load import parse_config
from qualitrace_collector.journal import SqliteJournal, committer
from qualitrace_collector.receive.server import serve
from qualitrace_collector.settings import CollectorConfig
from support.ports import free_port

DEADLINE_SECONDS = 20.0


def receive_config(
    folder: Path, max_size: int = 1 << 30, otlp: Mapping[str, Any] | None = None, **listen: Any
) -> CollectorConfig:
    """Make a configuration with free ports and its data in `folder`; `listen` adds to that section."""
    doors = {door: f"127.0.0.1:{free_port()}" for door in ("otlp_http", "otlp_grpc")}
    return parse_config(
        {
            "listen": doors | listen,
            "otlp": otlp or {},
            "data_dir": str(folder / "data"),
            "journal": {"max_size": max_size},
        },
        CollectorConfig,
    )


@dataclass(frozen=True)
class Receiver:
    """A receiver that runs, and its journal as the other process sees it."""

    config: CollectorConfig
    journal: SqliteJournal
    stop: Callable[[], None]

    @property
    def http(self) -> str:
        return self.config.listen.otlp_http

    @property
    def grpc(self) -> str:
        return self.config.listen.otlp_grpc

    def payloads(self) -> list[bytes]:
        """Return the requests in the journal."""
        return [entry.payload for entry in self.journal.read(0, 1000, 1 << 30)]


@contextmanager
def receiving(config: CollectorConfig) -> Generator[Receiver]:
    """Run both doors, which write their counts soon; they are stopped at the end if they were not before."""
    ready = threading.Event()
    handles: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        event = asyncio.Event()
        handles.append((asyncio.get_running_loop(), event))
        await serve(config, event, ready.set)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    short_interval = patch.object(committer, "COUNTS_INTERVAL_SECONDS", 0.02)
    short_interval.start()
    thread.start()
    assert ready.wait(DEADLINE_SECONDS)
    journal = SqliteJournal(config.data_dir / "journal.db", config.journal.max_size)

    def stop() -> None:
        loop, event = handles[0]
        if thread.is_alive():
            loop.call_soon_threadsafe(event.set)
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive()

    try:
        yield Receiver(config, journal, stop)
    finally:
        stop()
        short_interval.stop()
        journal.close()
