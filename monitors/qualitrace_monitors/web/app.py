"""The web port's application: the pages, and `/status.json`, `/metrics`, `/healthz`, `/readyz` and `/-/reload`."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, unquote

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from qualitrace_collector.config.values import split_address
from qualitrace_collector.receive.settings import Listen
from qualitrace_collector.state import StateError
from qualitrace_monitors.moments import second
from qualitrace_monitors.overview.overview import look
from qualitrace_monitors.overview.status import status
from qualitrace_monitors.reload.channel import Reloader
from qualitrace_monitors.web.assets import static_file
from qualitrace_monitors.web.forms import read_form
from qualitrace_monitors.web.guard import WebGuard
from qualitrace_monitors.web.page import Action, BadQuery, CannotNow, NotFound, Page, PageRequest, Sources
from qualitrace_monitors.web.pages import ACTIONS, PAGES
from qualitrace_monitors.web.rendering import render
from qualitrace_monitors.web.shared_reads import SharedReads

GZIP_LEVEL = 1
"""Metrics of many services have megabytes that repeat themselves: 9 takes eight times as long for little less."""
REFRESH_SECONDS = 5
"""How often a page that is looked at is renewed."""
RELOAD_SECONDS = 30.0
"""How long a reload may take to be answered: the supervisor does it at once, unless it is about an earlier one."""
RENEWED_SECONDS = REFRESH_SECONDS / 2
"""How old the answer may be that renews a page which is looked at: twenty open dashboards cost as much as two."""
READER_COOKIE, READER_SECONDS, LONGEST_NAME = "qualitrace_reader", 365 * 86_400, 200
"""What keeps a reader's name for the next form, for how long, and characters of the name."""
LONGEST_ADDRESS = 4_000
"""Characters of a page's path with its query."""

_STATUSES = {BadQuery: 400, NotFound: 404, CannotNow: 503}
_HEADINGS = {400: "This address cannot be read", 404: "There is nothing here"}
_UNREADABLE = (sqlite3.Error, StateError, OSError)

logger = logging.getLogger(__name__)


def create_app(
    sources: Sources,
    registry: CollectorRegistry,
    report: Callable[[], tuple[bool, dict[str, Any]]],
    reloader: Reloader | None = None,
) -> Starlette:
    """Make the web port's application, guarded as the section `listen` says.

    Args:
        registry: the metrics to expose.
        report: says whether the server is ready, and the body of `/readyz`. It waits for nothing.
        reloader: asks for the configuration to be read anew.
    """
    listen = sources.config.listen
    paths = _Paths(sources, registry, report, reloader)
    tokens = (
        None if token is None else token.get_secret_value() for token in (listen.web_token, listen.web_read_token)
    )
    hosts = (split_address(listen.web)[0], *_external_hosts(listen), *listen.allowed_hosts)
    return Starlette(
        routes=[
            *(Route(page.path, paths.page(page)) for page in PAGES),
            *(Route(action.path, paths.action(action), methods=["POST"]) for action in ACTIONS),
            Route("/static/{name:path}", static_file),
            Route("/status.json", paths.status),
            Route("/metrics", paths.metrics),
            Route("/healthz", paths.healthz),
            Route("/readyz", paths.readyz),
            Route("/-/reload", paths.reload, methods=["POST"]),
        ],
        middleware=[Middleware(WebGuard, hosts, *tokens), Middleware(GZipMiddleware, compresslevel=GZIP_LEVEL)],
        exception_handlers={HTTPException: paths.nothing_here},
        lifespan=paths.lifespan,
    )


def _external_hosts(listen: Listen) -> list[str]:
    """Return the host by which readers of notifications come, if there is one."""
    host = None if listen.web_external_url is None else listen.web_external_url.host
    return [host.strip("[]")] if host else []


class _Paths:
    def __init__(
        self,
        sources: Sources,
        registry: CollectorRegistry,
        report: Callable[[], tuple[bool, dict[str, Any]]],
        reloader: Reloader | None,
    ) -> None:
        self._sources = sources
        self._registry = registry
        self._report = report
        self._reloader = reloader

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        self._reads = SharedReads()
        yield
        self._reads.close()

    def page(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        """Return what answers requests for a page."""

        async def respond(request: Request) -> Response:
            address = str(request.url)
            if len(address) > LONGEST_ADDRESS:
                return await self._problem(request, 414, f"the address is longer than {LONGEST_ADDRESS} characters")
            asked = PageRequest(
                parts=tuple(unquote(part) for part in _path(request).split("/") if part),
                query=dict(request.query_params),
                may_act=request.state.may_act,
                reader=unquote(request.cookies.get(READER_COOKIE, ""))[:LONGEST_NAME] if page.names_reader else "",
            )

            def read() -> bytes:
                return render(page.template, {**self._shared(request, page), **page.context(self._sources, asked)})

            try:
                oldest = RENEWED_SECONDS if "hx-request" in request.headers else 0.0  # by htmx, which renews
                name = f"{asked.may_act} {asked.reader!r} {address}"
                return HTMLResponse(await self._reads.read(name, read, oldest))
            except (BadQuery, NotFound) as error:
                return await self._problem(request, _STATUSES[type(error)], str(error))
            except Exception as error:
                return await self._failure(request, error)

        return respond

    def action(self, action: Action) -> Callable[[Request], Awaitable[Response]]:
        """Return what answers a form."""

        async def respond(request: Request) -> Response:
            try:
                fields = await read_form(request)
                # No other request shares what this one does.
                address = await self._reads.read(
                    f"action {id(request)}", lambda: action.perform(self._sources, fields).encode()
                )
            except (BadQuery, NotFound, CannotNow) as error:
                return await self._problem(request, _STATUSES[type(error)], str(error))
            except Exception as error:
                return await self._failure(request, error)
            response = RedirectResponse(_root(request) + address.decode().lstrip("/"), 303)
            if reader := fields.get("reader", "").strip():
                kept = quote(reader[:LONGEST_NAME], safe="")
                response.set_cookie(READER_COOKIE, kept, READER_SECONDS, httponly=True, samesite="strict")
            return response

        return respond

    async def nothing_here(self, request: Request, error: Exception) -> Response:
        """Answer a request for an address that is none, or by a method that it does not have."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        text = "no page has this address" if status == 404 else str(getattr(error, "detail", error))
        response = await self._problem(request, status, text)
        response.headers.update(getattr(error, "headers", None) or {})
        return response

    async def _failure(self, request: Request, error: Exception) -> Response:
        """Answer a request that failed as none should; what cannot be read now may be read later."""
        logger.error("the page %s failed", _path(request)[:200], exc_info=error)
        if isinstance(error, _UNREADABLE):
            return await self._problem(request, 503, f"The state database cannot be used: {error}")
        return await self._problem(request, 500, "This failed, and should not: the log says how.")

    async def _problem(self, request: Request, status: int, text: str) -> Response:
        heading = _HEADINGS.get(status, "This cannot be shown")

        def read() -> bytes:
            return render("problem.html", {**self._shared(request, None), "heading": heading, "text": text})

        return HTMLResponse(await self._reads.read(f"problem {id(request)}", read), status)

    def _shared(self, request: Request, page: Page | None) -> dict[str, Any]:
        """Return what the frame of each page shows."""
        now = self._sources.clock()
        return {
            "root": _root(request),
            "menu": [each for each in PAGES if each.menu],
            "here": page,
            "refresh": REFRESH_SECONDS,
            "now": now,
            "time": second(now),
            "firing": self._firing(),
            "may_act": request.state.may_act,
            "mlflow_uri": self._sources.mlflow_uri,
            "mlflow_ui": self._sources.links.mlflow_ui,
        }

    def _firing(self) -> int | None:
        """Return how many alerts fire; None where nobody can know."""
        try:
            return sum(status.state == "firing" for _, status in self._sources.alerts.statuses())
        except _UNREADABLE:
            return None

    async def status(self, request: Request) -> Response:
        containing = request.query_params.get("service", "")
        if len(containing) > LONGEST_ADDRESS:
            return PlainTextResponse(f"service: is longer than {LONGEST_ADDRESS} characters\n", 414)

        def read() -> bytes:
            return json.dumps(status(look(self._sources, containing)), ensure_ascii=False).encode("utf-8", "replace")

        try:
            body = await self._reads.read(f"status {containing}", read)
        except _UNREADABLE as error:
            return PlainTextResponse(f"the state database cannot be used: {error}\n", 503)
        return Response(body, headers={"Content-Type": "application/json"})

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


def _root(request: Request) -> str:
    """Return the relative address of `/`, whose depth a percent-encoded slash does not change."""
    return "../" * (_path(request).count("/") - 1) or "./"


def _path(request: Request) -> str:
    """Return the path as it was sent: a name in it may hold a slash, percent-encoded."""
    return request.scope["raw_path"].decode("ascii", "replace")
