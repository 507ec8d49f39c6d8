"""Web frameworks, traced as an app begins to serve: many programs import one without serving."""

import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextvars import ContextVar
from typing import Any
from weakref import WeakValueDictionary

import wrapt
from opentelemetry.context import Context, attach, detach, get_current

from qualitrace.quiet import never_raises

# A connection may last for hours and carry many questions: each is to be a trace of its own.
_WEBSOCKETS = "^wss?://"


class Framework:
    """The apps of a framework, each of which is instrumented once. It does not matter when they import the framework.

    Args:
        module: that defines the class of apps.
        method: `class.method`, which every app calls once, before its first request.
        instrument: is called with the instrumentor's class and an app.
        begin: is called with the instrumentor's class in place of its method `instrument`.
    """

    def __init__(
        self,
        module: str,
        method: str,
        instrument: Callable[[Any, Any], None],
        begin: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self._module, self._path = module, method
        self._method = method.rpartition(".")[2]
        self._instrument = instrument
        self._begin = begin
        self._start: Callable[[], None] | None = None
        self._instrumentor: Any = None
        self._seen: WeakValueDictionary[int, Any] = WeakValueDictionary()  # by id: not all apps can be hashed
        self._prepares = ContextVar(f"qualitrace_prepares_{module}", default=False)
        self._renew_lock()
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()  # apps may begin in several threads, and the first one starts the instrumentor

    def first_use(self, start: Callable[[], None]) -> None:
        """Call `start` as the first app begins to serve."""
        self._start = start
        wrapt.wrap_function_wrapper(self._module, self._path, self._serve)

    def begin(self, instrumentor: Any) -> None:
        """Instrument apps by this instrumentor from now on."""
        self._begin(instrumentor)
        self._instrumentor = instrumentor

    def _serve(self, wrapped: Any, app: Any, args: Any, kwargs: Any) -> Any:
        # An app that begins while another one does is a part of it.
        if not self._is_new(app) or self._prepares.get():
            return wrapped(*args, **kwargs)
        token = self._prepares.set(True)
        try:
            if self._method == "__init__":
                wrapped(*args, **kwargs)
                self._prepare(app)
                return None
            # Instrumentors replace the method; the app's own one may have done so, and calls this.
            return getattr(app, self._method)(*args, **kwargs) if self._prepare(app) else wrapped(*args, **kwargs)
        finally:
            self._prepares.reset(token)

    @never_raises
    def _is_new(self, app: Any) -> bool:
        known = self._seen.get(id(app)) is app
        self._seen[id(app)] = app
        return not known

    @never_raises
    def _prepare(self, app: Any) -> bool:
        """Instrument an app that nobody has instrumented; return whether that was done."""
        if getattr(app, "_is_instrumented_by_opentelemetry", False):
            return False
        with self._lock:
            start, self._start = self._start, None
            if start:
                start()
        if not self._instrumentor:
            return False
        self._instrument(self._instrumentor, app)
        return True


def _excluded(name: str) -> str:
    given = os.environ.get(f"OTEL_PYTHON_{name}_EXCLUDED_URLS", os.environ.get("OTEL_PYTHON_EXCLUDED_URLS", ""))
    return ",".join(filter(None, (given, _WEBSOCKETS)))


# Without them each chunk of a streamed answer would be a span.
_NO_SPANS_OF_CHUNKS = ["receive", "send"]


def _instrument_fastapi(instrumentor: Any, app: Any) -> None:
    instrumentor.instrument_app(app, excluded_urls=_excluded("FASTAPI"), exclude_spans=_NO_SPANS_OF_CHUNKS)


def _instrument_starlette(instrumentor: Any, app: Any) -> None:
    from opentelemetry.util.http import parse_excluded_urls

    instrumentor.instrument_app(app)  # it takes no such options; they are the middleware's
    options = {"excluded_urls": parse_excluded_urls(_excluded("STARLETTE")), "exclude_spans": _NO_SPANS_OF_CHUNKS}
    middleware = app.user_middleware[0]
    (middleware.kwargs if hasattr(middleware, "kwargs") else middleware.options).update(options)


def _instrument_flask(instrumentor: Any, app: Any) -> None:
    instrumentor.instrument_app(app, enable_commenter=False)
    app.after_request(_streamed_by_flask)


def _streamed_by_flask(response: Any) -> Any:
    if isinstance(response.response, Iterator) and not response.direct_passthrough:
        response.response = steps_in(get_current(), response.response)
    return response


def _begin_django(instrumentor: Any) -> None:
    instrumentor().instrument(skip_dep_check=True)
    module = "opentelemetry.instrumentation.django.middleware.otel_middleware"
    wrapt.wrap_function_wrapper(module, "_DjangoMiddleware.process_response", _answer_of_django)


def _instrument_none(_: Any, app: Any) -> None:
    """Leave an app to what was done for all apps."""


def _answer_of_django(wrapped: Any, _: Any, args: Any, kwargs: Any) -> Any:
    response = kwargs["response"] if "response" in kwargs else args[1]
    _stream_of_django(response)
    return wrapped(*args, **kwargs)


@never_raises
def _stream_of_django(response: Any) -> None:
    # A file may go to the server as it is, which then sends it without reading it into Python.
    if getattr(response, "streaming", False) and getattr(response, "file_to_stream", None) is None:
        in_request = async_steps_in if response.is_async else steps_in
        response.streaming_content = in_request(get_current(), response.streaming_content)


def _begin_aiohttp(instrumentor: Any) -> None:
    from aiohttp import web  # pyright: ignore

    original = web.Application
    instrumentor().instrument(skip_dep_check=True)
    web.Application = original  # its subclass fails if it is given a tuple of middlewares


def _instrument_aiohttp(_: Any, app: Any) -> None:
    from aiohttp import web  # pyright: ignore
    from opentelemetry.instrumentation import aiohttp_server  # pyright: ignore
    from opentelemetry.propagate import extract

    traced = aiohttp_server.create_aiohttp_middleware()

    @web.middleware
    async def middleware(request: Any, handler: Any) -> Any:
        if request.headers.get("upgrade", "").lower() == "websocket":
            return await handler(request)
        token = attach(extract(request, getter=aiohttp_server.getter))  # it gives the context to its own span alone
        try:
            return await traced(request, handler)
        finally:
            detach(token)

    app.middlewares.insert(0, middleware)


def steps_in(context: Context, steps: Iterator[Any]) -> Generator[Any]:
    """Yield what `steps` yields, each step made in `context`: servers take the chunks after the request has ended."""
    try:
        while True:
            token = attach(context)
            try:
                chunk = next(steps)
            except StopIteration:
                return
            finally:
                detach(token)
            yield chunk
    finally:
        if callable(close := getattr(steps, "close", None)):
            close()


async def async_steps_in(context: Context, steps: AsyncIterator[Any]) -> AsyncGenerator[Any]:
    """Yield what `steps` yields, each step made in `context`."""
    try:
        while True:
            token = attach(context)
            try:
                chunk = await anext(steps)
            except StopAsyncIteration:
                return
            finally:
                detach(token)
            yield chunk
    finally:
        if callable(close := getattr(steps, "aclose", None)):
            await close()  # pyright: ignore[reportGeneralTypeIssues]


STARLETTE = Framework("starlette.applications", "Starlette.build_middleware_stack", _instrument_starlette)
FASTAPI = Framework("fastapi.applications", "FastAPI.build_middleware_stack", _instrument_fastapi)
FLASK = Framework("flask.app", "Flask.__init__", _instrument_flask)
DJANGO = Framework("django.core.handlers.base", "BaseHandler.load_middleware", _instrument_none, _begin_django)
# Not `pre_freeze`, which an app that is added to another one runs through before anybody knows which serves.
AIOHTTP = Framework("aiohttp.web_app", "Application._set_loop", _instrument_aiohttp, _begin_aiohttp)
