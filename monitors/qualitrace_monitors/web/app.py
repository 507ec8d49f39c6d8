"""The web port's application: `/metrics`, `/healthz`, `/readyz`, `/-/reload` and the dashboard at `/`."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route

from qualitrace_collector.config.values import split_address
from qualitrace_collector.receive.settings import Listen
from qualitrace_monitors.reload.channel import Reloader
from qualitrace_monitors.web.dashboard import Dashboard
from qualitrace_monitors.web.guard import RELOAD, WebGuard
from qualitrace_monitors.web.shared_reads import SharedReads

RELOAD_SECONDS = 30.0
"""How long a reload may take to be answered: the supervisor does it at once, unless it is about an earlier one."""
STYLE = Path(__file__).parent / "static" / "style.css"


def create_app(
    listen: Listen,
    registry: CollectorRegistry,
    report: Callable[[], tuple[bool, dict[str, Any]]],
    dashboard: Dashboard,
    reloader: Reloader | None = None,
) -> Starlette:
    """Make the web port's application, guarded as `listen` says.

    Args:
        registry: the metrics to expose.
        report: says whether the server is ready, and the body of `/readyz`. It waits for nothing.
        reloader: asks for the configuration to be read anew.
    """
    pages = _Pages(registry, report, dashboard, reloader)
    return Starlette(
        routes=[
            Route("/", pages.dashboard),
            # The addresses in notifications. Names may hold slashes.
            Route("/service/{names:path}", pages.service),
            Route("/trace/{trace_id:path}", pages.trace),
            Route("/style.css", pages.style),
            Route("/metrics", pages.metrics),
            Route("/healthz", pages.healthz),
            Route("/readyz", pages.readyz),
            Route(RELOAD, pages.reload, methods=["POST"]),
        ],
        middleware=[
            Middleware(
                WebGuard,
                hosts=(split_address(listen.web)[0], *_external_hosts(listen), *listen.allowed_hosts),
                token=None if listen.web_token is None else listen.web_token.get_secret_value(),
            )
        ],
        lifespan=pages.lifespan,
    )


def _external_hosts(listen: Listen) -> list[str]:
    """Return the host by which readers of notifications come, if there is one."""
    host = None if listen.web_external_url is None else listen.web_external_url.host
    return [host.strip("[]")] if host else []


class _Pages:
    def __init__(
        self,
        registry: CollectorRegistry,
        report: Callable[[], tuple[bool, dict[str, Any]]],
        dashboard: Dashboard,
        reloader: Reloader | None,
    ) -> None:
        self._registry = registry
        self._report = report
        self._dashboard = dashboard
        self._reloader = reloader

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        self._reads = SharedReads()
        yield
        self._reads.close()

    async def dashboard(self, _request: Request) -> Response:
        return HTMLResponse(await self._reads.read("dashboard", lambda: self._dashboard.render().encode()))

    async def service(self, _request: Request) -> Response:
        return RedirectResponse("/")  # which shows every service and judge

    async def trace(self, request: Request) -> Response:
        address = self._dashboard.trace_url(quote(request.path_params["trace_id"], safe=""))
        return RedirectResponse(address if self._dashboard.has_trace_pages else "/")

    async def style(self, _request: Request) -> Response:
        return FileResponse(STYLE)

    async def metrics(self, request: Request) -> Response:
        try:
            encode, content_type = choose_encoder(request.headers.get("accept", ""))
        except TypeError:  # its comparison of versions assumes numbers
            return PlainTextResponse("Accept: the version must be a number such as 1.0.0\n", 406)
        body = await self._reads.read(content_type, lambda: encode(self._registry))
        return Response(body, headers={"Content-Type": content_type})

    async def healthz(self, _request: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(self, _request: Request) -> Response:
        ready, body = self._report()
        return JSONResponse(body, 200 if ready else 503)

    async def reload(self, _request: Request) -> Response:
        if self._reloader is None:
            return PlainTextResponse("this process was not started by qualitrace serve\n", 501)
        state = await asyncio.to_thread(self._reloader.reload, RELOAD_SECONDS)
        if state is None:
            return PlainTextResponse(f"no answer within {RELOAD_SECONDS:g} s: see the log\n", 503)
        if not state.successful:
            return PlainTextResponse("".join(f"{mistake}\n" for mistake in state.mistakes), 400)
        return PlainTextResponse("the configuration is taken over; what it concerns starts again now\n")
