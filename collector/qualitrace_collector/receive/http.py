"""The doors over HTTP: OTLP in protobuf and JSON (https://opentelemetry.io/docs/specs/otlp/#otlphttp), and feedback.

All of them answer once what they took is durable.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

import limits
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from qualitrace_collector.journal import ForeignTraces
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.receive.decode import JSON, PROTOBUF, check_headers, media_type
from qualitrace_collector.receive.errors import (
    Forbidden,
    RateLimited,
    RequestError,
    TooLarge,
    Unavailable,
    Undecodable,
    Unsupported,
)
from qualitrace_collector.receive.guard import AddBytes, DoorGuard
from qualitrace_collector.receive.intake import Intake
from qualitrace_collector.receive.signals import SIGNALS, Signal

MAX_FEEDBACK_BYTES = 64 << 10

# Metrics get the answer that OTLP's clients expect of a server without that signal, as gRPC's UNIMPLEMENTED is: they
# do not try again, and report why. A partial success would look like a working metrics pipeline.
_NOT_FOUND = (
    "no such path: traces go to /v1/traces, logs to /v1/logs, people's feedback to /v1/feedback; "
    "metrics are not taken (set OTEL_METRICS_EXPORTER=none)"
)


def http_app(intake: Intake, guard: DoorGuard) -> Starlette:
    """Make the ASGI application."""
    feedback = FeedbackDoor(intake, guard)

    async def take_feedback(request: Request) -> Response:
        return JSONResponse({"id": await feedback.take(request)})

    def route(
        path: str, take: Callable[[Request], Awaitable[Response]], answer_type: Callable[[Request], str]
    ) -> Route:
        async def answer(request: Request) -> Response:
            try:
                guard.check_browser(request)
                return await _until_the_stop(take(request))
            except RequestError as error:
                intake.count_refusal(error)
                return _reply(answer_type(request), error.http_status, error.status(), dict(error.http_headers))

        return Route(path, answer, methods=["POST"])

    pages = Middleware(CORSMiddleware, allow_origins=guard.allowed_origins, allow_methods=["POST"], allow_headers=["*"])
    app = Starlette(
        middleware=[pages] if guard.allowed_origins else [],
        routes=[
            *(route(f"/v1/{signal.name}", _Export(intake, signal, guard).take, media_type) for signal in SIGNALS),
            route("/v1/feedback", take_feedback, lambda _: JSON),
        ],
        exception_handlers={HTTPException: _http_error, Exception: _internal_error},
    )
    app.router.redirect_slashes = False  # a redirect would trust the Host header, and most exporters follow none
    return app


async def _until_the_stop(answer: Awaitable[Response]) -> Response:
    """Return the answer; raise Unavailable if the server stops before.

    The server would answer 500, after which OTLP's clients drop a request.
    """
    try:
        return await answer
    except asyncio.CancelledError as error:
        raise Unavailable("the collector is stopping", "stopping") from error


class _Export:
    """Takes the export requests of one signal."""

    def __init__(self, intake: Intake, signal: Signal, guard: DoorGuard) -> None:
        self._intake = intake
        self._signal = signal
        self._guard = guard

    async def take(self, request: Request) -> Response:
        tenant = self._guard.tokens.tenant_of(request.headers.get("authorization", ""))
        with self._guard.memory.hold() as add_bytes:
            kind, encoding = media_type(request), request.headers.get("content-encoding", "").lower()
            check_headers(kind, encoding)
            data = await self._read(request, kind, encoding, add_bytes)
            return _reply(kind, 200, await self._intake.accept(self._signal, kind, data, "http", tenant))

    async def _read(self, request: Request, kind: str, encoding: str, add_bytes: AddBytes) -> bytes:
        body = await self._guard.read_body(request, add_bytes, self._guard.max_bytes)
        data = await self._guard.turns.decompress(body, encoding, self._guard.max_bytes)
        if data is not body:
            add_bytes(len(data))
        if kind == JSON and len(data) > self._guard.limits.json_size:
            raise TooLarge(self._guard.limits.json_size)
        return data


def _reply(kind: str, http_status: int, message: Message, headers: Mapping[str, str] | None = None) -> Response:
    """Answer in the media type of the request; in JSON if that is unknown."""
    if kind == PROTOBUF:
        return Response(message.SerializeToString(), http_status, headers, PROTOBUF)
    return Response(json_format.MessageToJson(message, indent=None), http_status, headers, JSON)


def _http_error(request: Request, error: Exception) -> Response:
    """Answer what Starlette refuses: an unknown path or method."""
    refused = cast(HTTPException, error)
    message = _NOT_FOUND if refused.status_code == 404 else refused.detail
    status = Status(code=code_pb2.UNIMPLEMENTED, message=message)
    return _reply(media_type(request), refused.status_code, status, refused.headers)


def _internal_error(request: Request, _: Exception) -> Response:
    """Answer after a fault in the collector, which the server logs."""
    status = Status(code=code_pb2.INTERNAL, message="internal error; see the collector's log")
    return _reply(media_type(request), 500, status)


class FeedbackDoor:
    """Takes one opinion a request, at the rate that the guard allows each sender.

    It is a door of its own because evaluation events in OTLP logs may come from programs, too.
    """

    def __init__(self, intake: Intake, guard: DoorGuard) -> None:
        self._intake = intake
        self._guard = guard
        self._rate = limits.parse(guard.feedback_rate)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def take(self, request: Request) -> str:
        """Make the feedback durable and return its id.

        Raises:
            RequestError: it is refused.
        """
        authorization = request.headers.get("authorization", "")
        tenant = self._guard.tokens.tenant_of(authorization)
        if self._guard.tokens.required:
            sender = authorization.partition(" ")[2].strip()
        else:  # then the header may hold anything
            sender = request.client.host if request.client else ""
        self._check_rate(sender)
        if media_type(request) != JSON or request.headers.get("content-encoding", "identity") != "identity":
            # Any web page that is open in a browser could post another type to a loopback address.
            raise Unsupported(f"send 'Content-Type: {JSON}', without a content encoding")
        with self._guard.memory.hold() as add_bytes:
            body = await self._guard.read_body(request, add_bytes, MAX_FEEDBACK_BYTES)
            try:
                feedback = PersonFeedback.parse(body, request.headers.get("idempotency-key"))
                await self._intake.keep_feedback(feedback, tenant)
            except ValueError as error:
                raise Undecodable(str(error)) from None
            except ForeignTraces as error:
                raise Forbidden from error
        return feedback.id

    def _check_rate(self, sender: str) -> None:
        if not self._limiter.hit(self._rate, sender):
            reset = self._limiter.get_window_stats(self._rate, sender).reset_time
            raise RateLimited(self._guard.feedback_rate, max(1, math.ceil(reset - time.time())))
