"""The door for people's feedback, beside OTLP/HTTP's: `POST /v1/feedback`, answered once the feedback is durable.

It is a door of its own because evaluation events in OTLP logs may come from programs, too.
"""

import math
import time

import limits
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.requests import Request

from qualitrace_collector.journal import ForeignTraces
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.receive.decode import JSON, media_type
from qualitrace_collector.receive.errors import Forbidden, RateLimited, Undecodable, Unsupported
from qualitrace_collector.receive.guard import DoorGuard
from qualitrace_collector.receive.intake import Intake

MAX_BYTES = 64 << 10


class FeedbackDoor:
    """Takes one opinion a request, at the rate that the guard allows each sender."""

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
            body = await self._guard.read_body(request, add_bytes, MAX_BYTES)
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
