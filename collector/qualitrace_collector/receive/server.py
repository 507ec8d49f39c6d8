"""The `receive` process, from its start to a clean stop: both ports, and one journal behind them."""

import asyncio
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

import grpc.aio

from qualitrace_collector.config.values import split_address
from qualitrace_collector.journal import GroupCommitter, JournalError, SqliteJournal
from qualitrace_collector.process.startup import when_parent_ends
from qualitrace_collector.receive.connection import BACKLOG, HttpServer
from qualitrace_collector.receive.grpc import credentials, grpc_server
from qualitrace_collector.receive.guard import DoorGuard
from qualitrace_collector.receive.http import http_app
from qualitrace_collector.receive.intake import Intake
from qualitrace_collector.receive.settings import ReceiveConfig

GRACE_SECONDS = 2  # less than the supervisor waits before it kills the process
OTHER_DESCRIPTORS = 128  # files, listeners and pipes, beside the connections


class ServeError(Exception):
    """A door cannot be opened; the message names the setting and the address."""


def main(config: ReceiveConfig, on_ready: Callable[[], None] = lambda: None) -> int:
    """Serve until SIGTERM, SIGINT or the parent's death; return the exit code."""
    _raise_descriptor_limit()
    try:
        asyncio.run(_serve_until_signalled(config, on_ready))
    except (ServeError, JournalError) as error:
        print(f"qualitrace receive: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve_until_signalled(config: ReceiveConfig, on_ready: Callable[[], None]) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    when_parent_ends(lambda: loop.call_soon_threadsafe(stop.set))
    await serve(config, stop, on_ready)


async def serve(config: ReceiveConfig, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
    """Run both doors until `stop`; then refuse, answer what is under way, flush and close.

    Args:
        on_ready: called once both doors take requests.

    Raises:
        ServeError: an address cannot be bound.
        JournalError: the journal cannot be opened.
    """
    async with AsyncExitStack() as stack:
        http_socket = stack.enter_context(_bind("otlp_http", config.listen.otlp_http))
        journal = SqliteJournal.of(config.journal, config.data_dir)
        stack.callback(journal.close)
        committer = GroupCommitter(journal)
        stack.push_async_callback(asyncio.to_thread, committer.stop)
        intake, guard = Intake(committer, time.time), DoorGuard.of(config)
        http_limit, grpc_limit = _connection_limits(config.otlp.max_connections)
        grpc_door = await _open_grpc(grpc_server(intake, guard, config.otlp, grpc_limit), config)
        stack.push_async_callback(grpc_door.stop, GRACE_SECONDS)
        http_door = HttpServer(http_app(intake, guard), config.otlp, max_connections=http_limit, grace=GRACE_SECONDS)
        serving = asyncio.create_task(http_door.serve([http_socket]))
        await http_door.ready.wait()
        on_ready()
        await stop.wait()
        intake.stop()
        http_door.should_exit = True
        await asyncio.gather(serving, grpc_door.stop(GRACE_SECONDS))


def _raise_descriptor_limit() -> None:
    # The usual soft limit, 1024, is there for programs that call select().
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS reports no limit and then refuses that
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _connection_limits(wanted: int) -> tuple[int, int]:
    """Return how many connections the HTTP and the gRPC port may have, so that the descriptors suffice for both."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted, wanted
    # gRPC gets twice as many: without a free one it refuses clients, while HTTP closes an idle connection.
    share = max(1, (soft - OTHER_DESCRIPTORS) // 3)
    return min(wanted, share), min(wanted, 2 * share)


def _bind(setting: str, address: str) -> socket.socket:
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except socket.gaierror as error:
        raise ServeError(f"{setting} {address}: {error.strerror}; give an address of this host") from error
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise ServeError(f"{setting} {address}: {reason}; stop what uses it or set listen.{setting}") from error


async def _open_grpc(server: grpc.aio.Server, config: ReceiveConfig) -> grpc.aio.Server:
    address, tls = config.listen.otlp_grpc, config.otlp.tls
    _bind("otlp_grpc", address).close()  # grpc does not report why it cannot bind
    try:
        if tls is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, credentials(tls))
    except RuntimeError as error:
        raise ServeError(f"otlp_grpc {address}: {error}; set listen.otlp_grpc") from error
    await server.start()
    return server
