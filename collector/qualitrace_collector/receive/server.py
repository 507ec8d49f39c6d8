"""The `receive` process: both doors before one journal, from start to a clean stop."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack, contextmanager

import grpc.aio
import uvicorn

from qualitrace_collector.config import Config
from qualitrace_collector.config.models import Listen
from qualitrace_collector.config.values import split_address
from qualitrace_collector.journal import GroupCommitter, JournalError, SqliteJournal
from qualitrace_collector.receive.grpc import grpc_server
from qualitrace_collector.receive.http import http_app
from qualitrace_collector.receive.intake import Intake

GRACE_SECONDS = 5
KEEP_ALIVE_SECONDS = 75  # longer than exporters' usual 60 s interval, so that their connection lives on
PARENT_CHECK_SECONDS = 1.0
JOURNAL_FILE = "journal.db"


class ServeError(Exception):
    """A door cannot be opened; the message names the setting and the address."""


def main(config: Config, on_ready: Callable[[], None] = lambda: None) -> int:
    """Serve until SIGTERM, SIGINT or the parent's death; return the exit code."""
    try:
        asyncio.run(_serve_until_signalled(config, on_ready))
    except (ServeError, JournalError) as error:
        print(f"qualitrace receive: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve_until_signalled(config: Config, on_ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watch = asyncio.create_task(_stop_with_parent(stop, os.getppid()))
    await serve(config, stop, on_ready)
    await watch


async def _stop_with_parent(stop: asyncio.Event, parent: int) -> None:
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), PARENT_CHECK_SECONDS)
        except TimeoutError:
            if os.getppid() != parent:
                stop.set()


async def serve(config: Config, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
    """Run both doors until `stop`; then refuse, answer what is under way, flush and close.

    Args:
        on_ready: called once both doors take requests.

    Raises:
        ServeError: an address cannot be bound.
        JournalError: the journal cannot be opened.
    """
    async with AsyncExitStack() as stack:
        http_socket = stack.enter_context(_bind("otlp_http", config.listen.otlp_http))
        journal = SqliteJournal(config.data_dir / JOURNAL_FILE, config.journal.max_size)
        stack.callback(journal.close)
        committer = GroupCommitter(journal)
        stack.push_async_callback(asyncio.to_thread, committer.stop)
        intake = Intake(committer, time.time)
        grpc_door = await _open_grpc(intake, config.listen)
        stack.push_async_callback(grpc_door.stop, GRACE_SECONDS)
        http_door = _HttpServer(intake, config.listen.max_request_size)
        serving = asyncio.create_task(http_door.serve([http_socket]))
        await http_door.ready.wait()
        on_ready()
        await stop.wait()
        intake.stop()
        http_door.should_exit = True
        await asyncio.gather(serving, grpc_door.stop(GRACE_SECONDS))


class _HttpServer(uvicorn.Server):
    """uvicorn that tells when it is ready and leaves the signals to `main`."""

    def __init__(self, intake: Intake, max_bytes: int) -> None:
        super().__init__(
            uvicorn.Config(
                http_app(intake, max_bytes),
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _bind(setting: str, address: str) -> socket.socket:
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except socket.gaierror as error:
        raise ServeError(f"{setting} {address}: {error.strerror}; give an address of this host") from error
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise ServeError(f"{setting} {address}: {reason}; stop what uses it or set listen.{setting}") from error


async def _open_grpc(intake: Intake, listen: Listen) -> grpc.aio.Server:
    address = listen.otlp_grpc
    _bind("otlp_grpc", address).close()  # grpc itself does not say why it cannot bind
    server = grpc_server(intake, listen.max_request_size)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise ServeError(f"otlp_grpc {address}: {error}; set listen.otlp_grpc") from error
    await server.start()
    return server
