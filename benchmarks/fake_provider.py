"""A fast fake provider in a process of its own: OpenAI's chat completions, after a set delay.

The model `fake` answers with a verdict, as judges want it, any other with an answer of 50 words. Asked for a stream, it
sends one chunk a word, one with the end, and one with the usage.
"""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_VERDICT = {"evidence": "so", "reason": "It is fine.", "score": 0.9, "verdict": "pass"}
_PROSE = (
    "The warranty of a tent lasts 24 months from the day of purchase. It covers seams, poles and zips, but neither the "
    "wear of the groundsheet nor damage by storms. Send the tent with a copy of the receipt to the workshop, which "
    "repairs it for free within three weeks."
)
_USAGE = {"prompt_tokens": 400, "completion_tokens": 50, "total_tokens": 450}


def _answer(model: str) -> str:
    return json.dumps(_VERDICT) if model == "fake" else _PROSE


def _whole(model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": _answer(model)}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    base = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model}
    return {**base, "choices": [choice], "usage": _USAGE}


def _chunks(model: str) -> Iterator[dict[str, Any]]:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    for word in _answer(model).split():
        delta = {"role": "assistant", "content": f"{word} "}
        yield {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    yield {**base, "choices": [], "usage": _USAGE}


def _events(model: str) -> bytes:
    events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in _chunks(model))
    return f"{events}data: [DONE]\n\n".encode()


def serve(port: int, delay: float) -> None:
    """Serve on loopback until killed; each answer takes `delay` seconds."""

    async def complete(request: Request) -> Response:
        asked: dict[str, Any] = await request.json()
        model = asked.get("model", "fake")
        if delay:
            await asyncio.sleep(delay)
        if asked.get("stream"):
            return Response(_events(model), media_type="text/event-stream")
        return JSONResponse(_whole(model))

    app = Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


@contextmanager
def provider(delay: float) -> Generator[str]:
    """Run it in the block, in a process of its own; yield its base URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(Path(__file__)), str(port), str(delay)])
    try:
        url = f"http://127.0.0.1:{port}/v1"
        for _ in range(200):
            try:
                httpx.post(f"{url}/chat/completions", json={})
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]))
