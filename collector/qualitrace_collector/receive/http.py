"""The OTLP/HTTP door (https://opentelemetry.io/docs/specs/otlp/#otlphttp): protobuf and JSON."""

import asyncio
from collections.abc import Mapping
from typing import cast

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from qualitrace_collector.receive.body import content_type, read_body
from qualitrace_collector.receive.decode import (
    JSON,
    PROTOBUF,
    THREAD_BYTES,
    Decoded,
    check_headers,
    decode_json,
    decode_protobuf,
    decompress,
)
from qualitrace_collector.receive.errors import RETRY_AFTER_SECONDS, RequestError
from qualitrace_collector.receive.feedback import FeedbackDoor
from qualitrace_collector.receive.guard import Guard, Hold
from qualitrace_collector.receive.intake import Intake
from qualitrace_collector.receive.signals import SIGNALS, Signal

# How many at once: what a body decompresses to is held only when it is known.
_DECODERS = 4

_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    408: {"Connection": "close"},
    503: {"Retry-After": str(RETRY_AFTER_SECONDS)},
}

# Metrics get the answer OTLP's clients expect of a server without that signal, as gRPC's UNIMPLEMENTED is: they do
# not try again, and say why. A partial success would look like a working metrics pipeline.
_NOT_FOUND = (
    "no such path: traces go to /v1/traces, logs to /v1/logs, people's feedback to /v1/feedback; "
    "metrics are not taken (set OTEL_METRICS_EXPORTER=none)"
)


def http_app(intake: Intake, guard: Guard) -> Starlette:
    """Make the ASGI application."""
    decoders = asyncio.Semaphore(_DECODERS)
    routes = [
        Route(f"/v1/{signal.name}", _Export(intake, signal, guard, decoders).answer, methods=["POST"])
        for signal in SIGNALS
    ]
    routes.append(Route("/v1/feedback", FeedbackDoor(intake, guard).answer, methods=["POST"]))
    app = Starlette(routes=routes, exception_handlers={HTTPException: _http_error, Exception: _internal_error})
    app.router.redirect_slashes = False  # a redirect would trust the Host header, and most exporters follow none
    return app


class _Export:
    """Answers the export requests of one signal."""

    def __init__(self, intake: Intake, signal: Signal, guard: Guard, decoders: asyncio.Semaphore) -> None:
        self._intake = intake
        self._signal = signal
        self._guard = guard
        self._decoders = decoders

    async def answer(self, request: Request) -> Response:
        media_type = content_type(request)
        try:
            tenant = self._guard.tokens.tenant_of(request.headers.get("authorization", ""))
            with self._guard.memory.hold() as hold:
                decoded = await self._decode(request, media_type, hold)
                response = await self._intake.accept(self._signal, decoded, "http", tenant)
        except RequestError as error:
            self._intake.count_refusal(error)
            return _failure(media_type, error.http_status, error.status())
        return _reply(media_type, 200, response)

    async def _decode(self, request: Request, media_type: str, hold: Hold) -> Decoded:
        encoding = request.headers.get("content-encoding", "").lower()
        check_headers(media_type, encoding)
        body = await read_body(request, self._guard.max_bytes, self._guard.body_timeout, hold)
        if len(body) < THREAD_BYTES:
            return self._parse(body, media_type, encoding, hold)
        async with self._decoders:
            return await asyncio.to_thread(self._parse, body, media_type, encoding, hold)

    def _parse(self, body: bytes, media_type: str, encoding: str, hold: Hold) -> Decoded:
        data = decompress(body, encoding, self._guard.max_bytes)
        if data is not body:
            hold.add(len(data))
        if media_type == JSON:
            return decode_json(self._signal, data)
        return decode_protobuf(self._signal, data)


def _reply(media_type: str, status: int, message: Message) -> Response:
    if media_type == PROTOBUF:
        return Response(message.SerializeToString(), status, media_type=PROTOBUF)
    return Response(json_format.MessageToJson(message, indent=None), status, media_type=JSON)


def _failure(media_type: str, http_status: int, status: Status) -> Response:
    response = _reply(media_type, http_status, status)
    response.headers.update(_HEADERS.get(http_status, {}))
    return response


def _http_error(request: Request, error: Exception) -> Response:
    """Answer what Starlette itself refuses: an unknown path or method."""
    refused = cast(HTTPException, error)
    message = _NOT_FOUND if refused.status_code == 404 else refused.detail
    status = Status(code=code_pb2.UNIMPLEMENTED, message=message)
    response = _failure(content_type(request), refused.status_code, status)
    response.headers.update(refused.headers or {})
    return response


def _internal_error(request: Request, _: Exception) -> Response:
    """Answer a fault of the collector's own, which the server logs."""
    status = Status(code=code_pb2.INTERNAL, message="internal error; the collector's log tells more")
    return _failure(content_type(request), 500, status)
