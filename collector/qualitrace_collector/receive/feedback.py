"""The door for people's feedback, beside OTLP/HTTP's: `POST /v1/feedback`, answered once the feedback is durable."""

import math
import time

import limits
from google.protobuf import json_format
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qualitrace_collector.journal import ForeignTraces
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.receive.body import content_type, read_body
from qualitrace_collector.receive.decode import JSON
from qualitrace_collector.receive.errors import (
    RETRY_AFTER_SECONDS,
    Forbidden,
    RateLimited,
    Refused,
    RequestError,
    Undecodable,
    Unsupported,
)
from qualitrace_collector.receive.guard import Guard
from qualitrace_collector.receive.intake import Intake

MAX_BYTES = 64 << 10


class FeedbackDoor:
    """Answers with the feedback's id as JSON, or with a google.rpc.Status as the OTLP doors do."""

    def __init__(self, intake: Intake, guard: Guard) -> None:
        self._intake = intake
        self._guard = guard
        self._rate = limits.parse(guard.feedback_rate)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def answer(self, request: Request) -> Response:
        """Take one opinion."""
        try:
            return JSONResponse({"id": await self._take(request)})
        except RequestError as error:
            self._intake.count_refusal(error)
            wait = getattr(error, "retry_after", RETRY_AFTER_SECONDS if isinstance(error, Refused) else None)
            headers = {"Retry-After": str(wait)} if wait is not None else {}
            if error.http_status == 401:
                headers["WWW-Authenticate"] = "Bearer"
            return JSONResponse(json_format.MessageToDict(error.status()), error.http_status, headers)

    async def _take(self, request: Request) -> str:
        authorization = request.headers.get("authorization", "")
        tenant = self._guard.tokens.tenant_of(authorization)
        if self._guard.tokens.required:
            sender = authorization.partition(" ")[2].strip()
        else:  # then the header may say anything
            sender = request.client.host if request.client else ""
        self._check_rate(sender)
        if content_type(request) != JSON or request.headers.get("content-encoding", "identity") != "identity":
            # Another type could be posted to a loopback address by any web page that is open in a browser.
            raise Unsupported(f"send 'Content-Type: {JSON}', without a content encoding")
        with self._guard.memory.hold() as hold:
            body = await read_body(request, MAX_BYTES, self._guard.body_timeout, hold)
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
