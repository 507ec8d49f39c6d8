"""A collector in a process of its own, which takes everything and counts the spans, on a port for each sender."""

import asyncio
import gzip
import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass(frozen=True)
class Sink:
    """A running collector.

    Attributes:
        endpoints: the address for each sender.
    """

    endpoints: dict[str, str]

    def spans(self, sender: str) -> int:
        """Return how many spans have come from a sender."""
        return httpx.get(f"{self.endpoints[sender]}/spans").json()


@contextmanager
def sink(senders: Sequence[str]) -> Generator[Sink]:
    """Run it in the block."""
    command = [sys.executable, str(Path(__file__)), str(len(senders))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        ports = json.loads(process.stdout.readline())
        try:
            yield Sink({name: f"http://127.0.0.1:{port}" for name, port in zip(senders, ports, strict=True)})
        finally:
            process.kill()


def serve(count: int) -> None:
    """Serve on `count` free loopback ports until killed; print them first."""
    spans: Counter[int] = Counter()

    async def take(request: Request) -> Response:
        body = await request.body()
        if request.url.path.endswith("/v1/traces"):
            if request.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            sent = ExportTraceServiceRequest.FromString(body)
            scopes = [scope for group in sent.resource_spans for scope in group.scope_spans]
            spans[request.scope["server"][1]] += sum(len(scope.spans) for scope in scopes)
        return Response(media_type="application/x-protobuf")

    async def counted(request: Request) -> Response:
        return JSONResponse(spans[request.scope["server"][1]])

    app = Starlette(routes=[Route("/spans", counted), Route("/{path:path}", take, methods=["GET", "POST", "PUT"])])
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    print(json.dumps([listener.getsockname()[1] for listener in listeners]), flush=True)
    asyncio.run(uvicorn.Server(uvicorn.Config(app, log_level="error")).serve(listeners))


if __name__ == "__main__":
    serve(int(sys.argv[1]))
