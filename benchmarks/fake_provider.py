"""A fast fake provider in a process of its own: OpenAI's chat completions with one verdict, after a set delay."""

import asyncio
import json
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_VERDICT = {"evidence": "so", "reason": "It is fine.", "score": 0.9, "verdict": "pass"}
_MESSAGE = {"role": "assistant", "content": json.dumps(_VERDICT)}
_ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "fake",
    "choices": [{"index": 0, "finish_reason": "stop", "message": _MESSAGE}],
    "usage": {"prompt_tokens": 400, "completion_tokens": 40, "total_tokens": 440},
}


def serve(port: int, delay: float) -> None:
    """Serve on loopback until killed; each answer takes `delay` seconds."""

    async def complete(request: Request) -> Response:
        await request.body()
        await asyncio.sleep(delay)
        return JSONResponse(_ANSWER)

    app = Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]))
