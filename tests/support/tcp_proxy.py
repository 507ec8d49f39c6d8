"""A TCP proxy that fails as networks and load balancers do: it stands still, for a while or for ever, or goes elsewhere."""

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress


class TcpProxy:
    """Passes connections on to a port of this host.

    Attributes:
        port: where it listens.
        upstream: where new connections go.
    """

    def __init__(self, upstream: int) -> None:
        self.port = 0
        self.upstream = upstream
        self._loop = asyncio.new_event_loop()
        self._moving = asyncio.Event()
        self._moving.set()
        self._abandoned: list[asyncio.Event] = []  # else their connections would be collected, and closed

    def hold(self) -> None:
        """Pass nothing on; new connections are taken and not answered."""
        self._loop.call_soon_threadsafe(self._moving.clear)

    def go_on(self) -> None:
        """Pass on what waits, and what comes."""
        self._loop.call_soon_threadsafe(self._moving.set)

    def abandon(self) -> None:
        """Let the connections that there are hang for ever, without a sign; new ones pass."""

        def abandon() -> None:
            self._moving.clear()
            self._abandoned.append(self._moving)
            self._moving = asyncio.Event()
            self._moving.set()

        self._loop.call_soon_threadsafe(abandon)

    def run(self, ready: threading.Event) -> None:
        """Serve until `stop`."""
        self._loop.run_until_complete(self._listen())
        ready.set()
        self._loop.run_forever()

    def stop(self) -> None:
        """End it, and all connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop)

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._loop.stop()

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        moving = self._moving
        with suppress(asyncio.CancelledError):  # the proxy ends
            await moving.wait()
            try:
                there = await asyncio.open_connection("127.0.0.1", self.upstream)
            except OSError:
                writer.close()
                return
            await asyncio.gather(_pump(reader, there[1], moving), _pump(there[0], writer, moving))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, moving: asyncio.Event) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            await moving.wait()
            writer.write(data)
            await writer.drain()
    await moving.wait()
    writer.close()


@contextmanager
def tcp_proxy(upstream: int) -> Generator[TcpProxy]:
    """Run a proxy to a port of this host on a free port."""
    proxy, ready = TcpProxy(upstream), threading.Event()
    thread = threading.Thread(target=proxy.run, args=(ready,), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join(10)
