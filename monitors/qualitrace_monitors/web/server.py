"""uvicorn in a thread, beside the other threads of the process."""

import socket
import threading
from typing import Self

import uvicorn
from starlette.types import ASGIApp

STOP_SECONDS = 5.0
"""How long requests under way may take at `stop`."""


class WebServerError(Exception):
    """The address cannot be listened on; the message names it and the reason."""


class WebServer:
    """Serves an ASGI application; also a context manager that starts and stops it. It installs no signal handlers.

    Args:
        app: the ASGI application to serve.
        host: the address to bind, IPv6 without brackets.
        port: the port to bind; 0 takes a free one, which `port` names after `start`.
    """

    def __init__(self, app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        # The log settings are the process's own; forwarded headers are not believed.
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            lifespan="on",
            timeout_graceful_shutdown=int(STOP_SECONDS),
        )
        self._config = config
        self._running: tuple[uvicorn.Server, threading.Thread] | None = None

    def start(self) -> None:
        """Listen; connections are accepted from here on. Safe twice.

        Raises:
            WebServerError: the address is in use, not this host's, or not allowed.
        """
        if self._running:
            return
        listener = self._listen()
        self.port = listener.getsockname()[1]
        server = uvicorn.Server(self._config)
        thread = threading.Thread(target=server.run, args=([listener],), name="web", daemon=True)
        thread.start()
        self._running = (server, thread)

    def stop(self) -> None:
        """Stop listening, let requests under way end, and wait for it. Safe twice."""
        if not self._running:
            return
        server, thread = self._running
        server.should_exit = True
        thread.join(STOP_SECONDS + 1)
        self._running = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The server's address, once it is started."""
        return f"http://{self._shown_host}:{self.port}"

    @property
    def _shown_host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family)
        except OSError as error:
            # uvicorn would end the process without naming the setting.
            # create_server appends the address to the text of the error.
            reason = (error.strerror or str(error)).partition(" (while")[0].lower()
            raise WebServerError(f"web {self._shown_host}:{self.port}: {reason}") from None
