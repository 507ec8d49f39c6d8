"""The web port's application: `/metrics`, `/healthz`, `/readyz` and the dashboard at `/`."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from qualitrace_collector.config.values import split_address
from qualitrace_collector.receive.settings import Listen
from qualitrace_monitors.web.dashboard import Dashboard
from qualitrace_monitors.web.guard import WebGuard
from qualitrace_monitors.web.shared_reads import SharedReads

STYLE = Path(__file__).parent / "static" / "style.css"


def create_app(
    listen: Listen, registry: CollectorRegistry, report: Callable[[], tuple[bool, dict[str, Any]]], dashboard: Dashboard
) -> Starlette:
    """Make the web port's application, guarded as `listen` says.

    Args:
        registry: the metrics to expose.
        report: says whether the server is ready, and the body of `/readyz`. It waits for nothing.
    """
    pages = _Pages(registry, report, dashboard)
    return Starlette(
        routes=[
            Route("/", pages.dashboard),
            Route("/style.css", pages.style),
            Route("/metrics", pages.metrics),
            Route("/healthz", pages.healthz),
            Route("/readyz", pages.readyz),
        ],
        middleware=[
            Middleware(
                WebGuard,
                hosts=(split_address(listen.web)[0], *listen.allowed_hosts),
                token=None if listen.web_token is None else listen.web_token.get_secret_value(),
            )
        ],
        lifespan=pages.lifespan,
    )


class _Pages:
    def __init__(
        self, registry: CollectorRegistry, report: Callable[[], tuple[bool, dict[str, Any]]], dashboard: Dashboard
    ) -> None:
        self._registry = registry
        self._report = report
        self._dashboard = dashboard

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        self._reads = SharedReads()
        yield
        self._reads.close()

    async def dashboard(self, _request: Request) -> Response:
        return HTMLResponse(await self._reads.read("dashboard", lambda: self._dashboard.render().encode()))

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
