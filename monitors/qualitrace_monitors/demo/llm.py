"""The demo's model behind OpenAI's Chat Completions API, streaming and not.

It speaks the part of the API that https://platform.openai.com/docs/api-reference/chat describes for text:
choices, finish reason, token usage, and server-sent events that end with `[DONE]`.
"""

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from qualitrace_monitors.demo.answers import answer

MODEL = "pinewhistle-small"


def model_app(clock: Callable[[], float] = time.time) -> Starlette:
    """Make the model's server; `clock` (Unix seconds) dates its replies."""

    async def complete(request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        if not body.get("messages"):
            return JSONResponse({"error": {"message": "messages: at least one is required"}}, status_code=400)
        reply = _Reply(body, created=int(clock()))
        if body.get("stream"):
            return StreamingResponse(reply.events(), media_type="text/event-stream")
        return JSONResponse(reply.completion())

    return Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])


class _Reply:
    """One reply, in the two forms of the API."""

    def __init__(self, body: dict[str, Any], created: int) -> None:
        *context, question = [message["content"] for message in body["messages"]]
        self._text = answer(question, "\n".join(context))
        self._common = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": created,
            "model": body.get("model", MODEL),
        }
        prompt_tokens = sum(_tokens(text) for text in (*context, question))
        completion_tokens = _tokens(self._text)
        self._usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        }
        self._usage_wanted = bool((body.get("stream_options") or {}).get("include_usage"))

    def completion(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": self._text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {**self._common, "object": "chat.completion", "choices": [choice], "usage": self._usage}

    def events(self) -> Iterator[str]:
        for word in re.findall(r"\s*\S+", self._text):
            yield self._event([{"index": 0, "delta": {"content": word}, "finish_reason": None}])
        yield self._event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
        if self._usage_wanted:
            yield self._event([], usage=self._usage)
        yield "data: [DONE]\n\n"

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> str:
        chunk = {**self._common, "object": "chat.completion.chunk", "choices": choices, **more}
        return f"data: {json.dumps(chunk)}\n\n"


def _tokens(text: str) -> int:
    """Estimate tokens as OpenAI's rule of thumb has them: four characters each."""
    return -(-len(text) // 4)
