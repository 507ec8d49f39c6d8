"""The `receive` process, from its start to a clean stop: both ports, and one journal behind them."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from qualitrace_collector.http_server.connection import ConnectionLimits
from qualitrace_collector.http_server.listener import ListenError, listen
from qualitrace_collector.http_server.server import HttpServer
from qualitrace_collector.journal import GroupCommitter, JournalError, SqliteJournal
from qualitrace_collector.process import watchdog
from qualitrace_collector.process.descriptors import connections_within, raise_descriptor_limit
from qualitrace_collector.process.startup import end_with_supervisor
from qualitrace_collector.receive.grpc import GrpcServer
from qualitrace_collector.receive.guard import DoorGuard
from qualitrace_collector.receive.http import http_app
from qualitrace_collector.receive.intake import Intake
from qualitrace_collector.receive.proof import prove
from qualitrace_collector.receive.settings import Otlp, ReceiveConfig

GRACE_SECONDS = 2  # less than the supervisor waits before it kills the process


def main(config: ReceiveConfig, on_ready: Callable[[], None] = watchdog.tell_ready) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code. The process ends with its parent."""
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
    end_with_supervisor()
    watchdog.show_stacks_on_signal()
    beats = asyncio.create_task(_beat())
    await serve(config, stop, on_ready)
    beats.cancel()


async def _beat() -> None:
    """Give signs of life for as long as the event loop runs."""
    while True:
        watchdog.tell_alive()
        await asyncio.sleep(watchdog.BEAT_SECONDS)


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
        grpc_socket = stack.enter_context(listen("otlp_grpc", config.listen.otlp_grpc))
        # Not in the event loop, which must go on: another process may hold the lock, and a long log is read slowly.
        journal = await asyncio.to_thread(SqliteJournal.of, config.journal, config.data_dir)
        stack.callback(journal.close)
        committer = GroupCommitter(journal)
        committer.count(watchdog.restart_counts("receive"))
        stack.push_async_callback(asyncio.to_thread, committer.stop)
        guard = DoorGuard.of(config)
        stack.callback(guard.turns.close)
        intake = Intake(committer, time.time, guard.turns, guard.limits)
        tls, limits = config.otlp.tls, _limits(config.otlp)
        grpc_door = GrpcServer(intake, guard, limits, tls=tls.context() if tls else None)
        await grpc_door.start(grpc_socket)
        stack.push_async_callback(grpc_door.stop, GRACE_SECONDS)
        http_door = HttpServer(http_app(intake, guard), limits, GRACE_SECONDS, tls=tls.context() if tls else None)
        serving = asyncio.create_task(http_door.serve([http_socket]))
        await http_door.ready.wait()
        on_ready()
        proofs = asyncio.create_task(prove(journal, intake))
        stack.callback(proofs.cancel)
        await stop.wait()
        intake.stop()
        http_door.should_exit = True
        await asyncio.gather(serving, grpc_door.stop(GRACE_SECONDS))


def _limits(otlp: Otlp) -> ConnectionLimits:
    """Return what the clients of each of the two ports can hold."""
    return ConnectionLimits(
        connections=connections_within(otlp.max_connections, 1, of=2),
        header_timeout=otlp.header_timeout,
        idle_timeout=otlp.idle_timeout,
        answer_timeout=otlp.body_timeout,
    )
