"""The `receive` process, from its start to a clean stop: both ports, and one journal behind them."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import grpc.aio

from qualitrace_collector.http_server.connection import ConnectionLimits
from qualitrace_collector.http_server.listener import ListenError, listen
from qualitrace_collector.http_server.server import HttpServer
from qualitrace_collector.journal import GroupCommitter, JournalError, SqliteJournal
from qualitrace_collector.process.descriptors import connections_within, raise_descriptor_limit
from qualitrace_collector.process.startup import when_parent_ends
from qualitrace_collector.receive.grpc import credentials, grpc_server
from qualitrace_collector.receive.guard import DoorGuard
from qualitrace_collector.receive.http import http_app
from qualitrace_collector.receive.intake import Intake
from qualitrace_collector.receive.settings import Otlp, ReceiveConfig

GRACE_SECONDS = 2  # less than the supervisor waits before it kills the process


def main(config: ReceiveConfig, on_ready: Callable[[], None] = lambda: None) -> int:
    """Serve until SIGTERM, SIGINT or the parent's death; return the exit code."""
    raise_descriptor_limit()
    try:
        asyncio.run(_serve_until_signalled(config, on_ready))
    except (ListenError, JournalError) as error:
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
        ListenError: an address cannot be bound.
        JournalError: the journal cannot be opened.
    """
    async with AsyncExitStack() as stack:
        http_socket = stack.enter_context(listen("otlp_http", config.listen.otlp_http))
        journal = SqliteJournal.of(config.journal, config.data_dir)
        stack.callback(journal.close)
        committer = GroupCommitter(journal)
        stack.push_async_callback(asyncio.to_thread, committer.stop)
        intake, guard = Intake(committer, time.time), DoorGuard.of(config)
        # gRPC gets twice as many: without a free one it refuses clients, while HTTP closes an idle connection.
        grpc_limit = connections_within(config.otlp.max_connections, 2, of=3)
        grpc_door = await _open_grpc(grpc_server(intake, guard, config.otlp, grpc_limit), config)
        stack.push_async_callback(grpc_door.stop, GRACE_SECONDS)
        tls = config.otlp.tls.context() if config.otlp.tls else None
        http_door = HttpServer(http_app(intake, guard), _http_limits(config.otlp), GRACE_SECONDS, tls=tls)
        serving = asyncio.create_task(http_door.serve([http_socket]))
        await http_door.ready.wait()
        on_ready()
        await stop.wait()
        intake.stop()
        http_door.should_exit = True
        await asyncio.gather(serving, grpc_door.stop(GRACE_SECONDS))


def _http_limits(otlp: Otlp) -> ConnectionLimits:
    return ConnectionLimits(
        connections=connections_within(otlp.max_connections, 1, of=3),
        header_timeout=otlp.header_timeout,
        idle_timeout=otlp.idle_timeout,
    )


async def _open_grpc(server: grpc.aio.Server, config: ReceiveConfig) -> grpc.aio.Server:
    address, tls = config.listen.otlp_grpc, config.otlp.tls
    listen("otlp_grpc", address).close()  # grpc does not report why it cannot bind
    try:
        if tls is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, credentials(tls))
    except RuntimeError as error:
        raise ListenError(f"otlp_grpc {address}: {error}; set listen.otlp_grpc") from error
    await server.start()
    return server
