"""A request is the root of its trace, in each framework; a program that only imports one hears nothing of it."""

import asyncio
import signal
import sys
import threading
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import aiohttp
import httpx
import pytest

from qualitrace.libraries.web import DJANGO, Framework
from support.ports import free_port
from support.waiting import eventually

pytestmark = pytest.mark.slow

TRACE, CALLER = f"{1:032x}", f"{2:016x}"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-00", "baggage": "session.id=s1,user.id=ada"}

# Each app has the same paths. It imports its framework, and is made, before or after `init`.
APPS = {
    "starlette": """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
import uvicorn

async def talk(socket):
    await socket.accept()
    while await socket.receive_text() != "bye":
        await socket.send_text(answer())
    await socket.close()

def make():
    paths = [
        Route("/ask", lambda request: PlainTextResponse(answer())),
        Route("/stream", lambda request: StreamingResponse(stream())),
        Route("/health", lambda request: PlainTextResponse("well")),
    ]
    return Starlette(routes=[*paths, Mount("/part", Starlette(routes=paths)), WebSocketRoute("/talk", talk)])

def serve(app, port): uvicorn.run(app, port=port, log_level="error")
""",
    "fastapi": """
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi import WebSocket
import uvicorn

def paths(app):
    @app.get("/ask")
    def ask(): return PlainTextResponse(answer())
    @app.get("/stream")
    async def in_parts(): return StreamingResponse(stream())
    @app.get("/health")
    async def health(): return PlainTextResponse("well")
    return app

def make():
    app = paths(FastAPI())
    app.mount("/part", paths(FastAPI()))
    @app.websocket("/talk")
    async def talk(socket: WebSocket):
        await socket.accept()
        while await socket.receive_text() != "bye":
            await socket.send_text(answer())
        await socket.close()
    return app

def serve(app, port): uvicorn.run(app, port=port, log_level="error")
""",
    "flask": """
from flask import Flask, Response

def make():
    app = Flask("app")
    app.add_url_rule("/ask", "ask", lambda: answer())
    app.add_url_rule("/stream", "stream", lambda: Response(stream()))
    app.add_url_rule("/health", "health", lambda: "well")
    return app

def serve(app, port):
    import logging
    logging.getLogger("werkzeug").disabled = True
    app.run(port=port)
""",
    "aiohttp": """
from aiohttp import web, WSMsgType
import asyncio

async def ask(request): return web.Response(text=answer())
async def health(request): return web.Response(text="well")
async def in_parts(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for part in stream():
        await response.write(part.encode())
    return response
async def talk(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.data == "bye":
            break
        await socket.send_str(answer())
    return socket

def make():
    paths = [web.get("/ask", ask), web.get("/stream", in_parts), web.get("/health", health), web.get("/talk", talk)]
    app, part = web.Application(middlewares=()), web.Application()
    app.add_routes(paths)
    part.add_routes(paths[:3])
    app.add_subapp("/part", part)
    return app

def serve(app, port): web.run_app(app, port=port, print=None, handle_signals=False, access_log=None)
""",
}
PROGRAM = """
import os, sys
import qualitrace
if sys.argv[1] == "early":
    qualitrace.init()
{app}
if sys.argv[1] == "after the import":
    qualitrace.init()
app = make()
if sys.argv[1] == "late":
    qualitrace.init()
import openai
question = dict(model="gpt-5-mini", messages=[{{"role": "user", "content": "Capital of France?"}}])
client = openai.OpenAI(base_url=os.environ["LLM"] + "/v1", api_key="k")
def answer():
    return client.chat.completions.create(**question).choices[0].message.content
def stream():
    for chunk in client.chat.completions.create(stream=True, **question):
        if chunk.choices:
            yield chunk.choices[0].delta.content or ""
serve(app, int(sys.argv[2]))
"""
MOUNTS = ("starlette", "fastapi", "aiohttp")


async def talk(address: str) -> list[str]:
    """Ask two questions by one WebSocket."""
    answers: list[str] = []
    async with aiohttp.ClientSession() as session, session.ws_connect(address + "/talk") as socket:
        for _ in range(2):
            await socket.send_str("Capital of France?")
            answers.append(await socket.receive_str())
        await socket.send_str("bye")
    return answers


@pytest.mark.parametrize(
    ("name", "when"),
    [
        ("starlette", "late"),
        ("fastapi", "early"),
        ("fastapi", "late"),
        ("aiohttp", "late"),
        ("flask", "after the import"),
    ],
)
def test_requests(programs: Any, collector: Any, llm: str, name: str, when: str) -> None:
    """A request is the root of its trace or continues its caller's, and those without GenAI work leave no spans."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    program = programs.write(PROGRAM.format(app=APPS[name]))
    server = programs.start(sys.executable, program, when, str(port), LLM=llm, QUALITRACE_ENDPOINT=collector.endpoint)
    try:
        assert eventually(lambda: httpx.get(address + "/health").text) == "well"
        assert httpx.get(address + "/ask", headers=HEADERS).text == "Paris."
        assert httpx.get(address + "/stream").text == "Paris."
        if name in MOUNTS:
            assert httpx.get(address + "/part/ask").text == "Paris."
            assert asyncio.run(talk(address)) == ["Paris."] * 2
    finally:
        server.send_signal(signal.SIGTERM)
        done = programs.finish(server)
    assert "qualitrace" not in done.errors
    assert "Traceback" not in done.errors
    spans = collector.received
    called = {span.name: span for span in spans if span.trace_id == TRACE}
    assert set(called) == {"GET /ask", "chat gpt-5-mini"}
    assert called["GET /ask"].parent_id == CALLER
    assert called["chat gpt-5-mini"].parent_id == called["GET /ask"].span_id
    for span in called.values():
        assert (span.attributes["session.id"], span.attributes["user.id"]) == ("s1", "ada")
    traces: dict[str, set[str]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, set()).add(span.name)
    names = sorted(sorted(names) for trace, names in traces.items() if trace != TRACE)
    alone = [["chat gpt-5-mini"]] * 2 if name in MOUNTS else []
    mounted = [trace for trace in names if any("part" in span for span in trace)]
    assert [trace for trace in names if trace not in mounted] == [["GET /stream", "chat gpt-5-mini"], *alone]
    assert len(mounted) == (name in MOUNTS)
    assert not any(span.parent_id for span in spans if span.trace_id != TRACE and span.name.startswith("GET /stream"))
    recorded = repr([span.attributes for span in spans if span.name.startswith("GET")])
    assert "baggage" not in recorded
    assert "Paris" not in recorded


OWN = """
import sys
import qualitrace
from fastapi import FastAPI
from fastapi.testclient import TestClient
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
if "after" in sys.argv:
    qualitrace.init()
if "class" in sys.argv:
    FastAPIInstrumentor().instrument()
    from fastapi import FastAPI
app = FastAPI()
if "app" in sys.argv:
    FastAPIInstrumentor.instrument_app(app)
if "before" in sys.argv:
    qualitrace.init()
@app.get("/ask")
def ask():
    with qualitrace.span("answer"):
        return "Paris."
print(TestClient(app).get("/ask").text)
"""


@pytest.mark.parametrize(("what", "when"), [("class", "before"), ("class", "after"), ("app", "before")])
def test_an_apps_own_instrumentor(programs: Any, collector: Any, what: str, when: str) -> None:
    """An app that starts the same instrumentor itself has one span of each request, and nothing is said."""
    done = programs.run(OWN, what, when, QUALITRACE_ENDPOINT=collector.endpoint)
    assert (done.output, done.errors) == ('"Paris."\n', "")
    assert sorted(span.name for span in collector.received) == ["GET /ask", "answer"]


def test_an_app_that_cannot_be_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some releases of aiohttp have such apps. Each is instrumented once, and serves."""

    class App:
        __hash__ = None  # type: ignore[assignment]

        def serve(self) -> str:
            return "served"

    module = ModuleType("framework_of_test")
    module.App = App  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    instrumented: list[tuple[Any, Any]] = []
    framework = Framework(
        module.__name__, "App.serve", lambda instrumentor, app: instrumented.append((instrumentor, app))
    )
    framework.first_use(lambda: framework.begin("instrumentor"))
    apps = App(), App()
    assert [app.serve() for app in apps for _ in range(2)] == ["served"] * 4
    assert [(instrumentor, id(app)) for instrumentor, app in instrumented] == [
        ("instrumentor", id(app)) for app in apps
    ]


def test_apps_that_begin_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is instrumented, although the instrumentor has not started yet when the second one begins."""

    class App:
        def serve(self) -> None:
            pass

    module = ModuleType("framework_of_test")
    module.App = App  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    instrumented: list[Any] = []
    framework = Framework(module.__name__, "App.serve", lambda _, app: instrumented.append(app))
    first, second = App(), App()
    others: list[threading.Thread] = []

    def start() -> None:
        other = threading.Thread(target=second.serve)
        others.append(other)
        other.start()
        other.join(0.3)  # it cannot have gone on
        framework.begin("instrumentor")

    framework.first_use(start)
    first.serve()
    others[0].join()
    assert set(instrumented) == {first, second}


def test_files_of_django(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a view returns stays what the server may send by itself."""

    class Middleware:
        def process_response(self, request: Any, response: Any) -> Any:
            return response

    class FileResponse:
        streaming, is_async, file_to_stream = True, False, "a file"

        @property
        def streaming_content(self) -> Any:
            return iter([b"content"])

        @streaming_content.setter
        def streaming_content(self, value: Any) -> None:
            self.file_to_stream = value if hasattr(value, "read") else None  # as Django's

    path = "opentelemetry.instrumentation.django.middleware.otel_middleware"
    module = ModuleType(path)
    module._DjangoMiddleware = Middleware  # type: ignore[attr-defined]
    parents = [path.rsplit(".", count)[0] for count in (1, 2)]
    for name, value in ((path, module), *((name, ModuleType(name)) for name in parents)):
        monkeypatch.setitem(sys.modules, name, value)
    DJANGO.begin(MagicMock())
    assert Middleware().process_response("request", FileResponse()).file_to_stream == "a file"


HIDDEN = """
import sys
names = ("starlette", "fastapi", "flask", "aiohttp_server", "django")
sys.modules.update(dict.fromkeys([f"opentelemetry.instrumentation.{name}" for name in names]))
"""


@pytest.mark.parametrize("before", ["", HIDDEN], ids=["installed", "missing"])
def test_an_import_alone(programs: Any, before: str) -> None:
    """A program that imports frameworks and does not serve hears nothing, whether the instrumentors are there or not."""
    code = "import qualitrace\nqualitrace.init()\nimport starlette.applications, fastapi, flask, aiohttp.web"
    done = programs.run(f"{before}\n{code}")
    assert (done.code, done.errors) == (0, "")


SERVES = """
import asyncio, sys
sys.path.insert(0, ".")
import qualitrace
qualitrace.init()
from starlette.applications import Starlette
from starlette.testclient import TestClient
for _ in range(2):
    TestClient(Starlette()).get("/")
"""


def test_a_missing_instrumentor(programs: Any) -> None:
    """A program that serves hears once that the instrumentor is missing."""
    (programs.directory / "sitecustomize.py").write_text(
        """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == "opentelemetry.instrumentation.starlette":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
"""
    )
    done = programs.run(SERVES, PYTHONPATH=f"{programs.directory}:{':'.join(sys.path)}")
    assert done.errors.splitlines() == ["starlette is not traced: pip install 'qualitrace[starlette]'"]
