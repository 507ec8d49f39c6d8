"""A question that goes through two services is one trace with one session, and is judged once."""

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from libraries.expectation import seen
from libraries.run import receiver
from support.ports import free_port
from support.waiting import eventually

pytestmark = pytest.mark.slow

# Knows who asks, and lets the other service answer.
FRONTEND = """
import os, sys
import httpx, qualitrace, uvicorn
from fastapi import FastAPI
app = FastAPI()

@app.get("/ask")
async def ask(user: str):
    with qualitrace.session(f"session of {user}", user=user, prompt_version="v2"):
        async with httpx.AsyncClient() as client:
            return (await client.get(os.environ["BACKEND"] + "/answer")).text

@app.get("/health")
async def health(): return "well"

uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""

BACKEND = """
import os, sys
import openai
from flask import Flask
app = Flask("backend")
client = openai.OpenAI(base_url=os.environ["LLM"] + "/v1", api_key="k")

@app.get("/answer")
def answer():
    message = {"role": "user", "content": "Capital of France?"}
    return client.chat.completions.create(model="gpt-5-mini", messages=[message]).choices[0].message.content

@app.get("/health")
def health(): return "well"

app.run(port=int(sys.argv[1]))
"""


@contextmanager
def running(programs: Any, name: str, code: str, *options: str, **variables: str) -> Iterator[str]:
    """Run a service, under `qualitrace run`, in the block; gives its address."""
    port = free_port()
    program = programs.write(code, f"{name}.py")
    run = (sys.executable, "-m", "qualitrace", "run", "--service-name", name, *options, "--")
    process = programs.start(*run, sys.executable, program, str(port), **variables)
    address = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: httpx.get(address + "/health").text)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        done = programs.finish(process)
    assert "Traceback" not in done.errors, done.errors


def texts(attributes: Any) -> dict[str, str]:
    """Return the attributes that are text."""
    pairs: list[KeyValue] = list(attributes)
    return {pair.key: pair.value.string_value for pair in pairs if pair.value.HasField("string_value")}


def test_two_services(programs: Any, llm: str) -> None:
    """FastAPI with httpx, then Flask with OpenAI: each question is one trace, and all its spans are of one session."""
    with receiver() as (endpoint, received):
        with ExitStack() as stack:
            shared = ("--endpoint", endpoint)
            backend = stack.enter_context(running(programs, "backend", BACKEND, *shared, LLM=llm))
            hosts = ("--baggage-hosts", backend.removeprefix("http://"), "--environment", "staging")
            frontend = stack.enter_context(running(programs, "frontend", FRONTEND, *shared, *hosts, BACKEND=backend))
            for user in ("ada", "Jürgen M"):
                assert httpx.get(f"{frontend}/ask", params={"user": user}).json() == "Paris."
        traces: dict[bytes, dict[str, Any]] = {}
        for group in received.request.resource_spans:
            service = texts(group.resource.attributes)["service.name"]
            for span in (span for scoped in group.scope_spans for span in scoped.spans):
                traces.setdefault(span.trace_id, {})[f"{service} {span.name}"] = span
    assert len(traces) == 2
    for spans in traces.values():
        assert set(spans) == {"frontend GET /ask", "backend GET /answer", "backend chat gpt-5-mini"}
        root, answer, chat = (
            spans[name] for name in ("frontend GET /ask", "backend GET /answer", "backend chat gpt-5-mini")
        )
        assert (root.parent_span_id, answer.parent_span_id) == (b"", root.span_id)
        assert chat.parent_span_id == answer.span_id
        sessions = {texts(span.attributes).get("session.id") for span in spans.values()}
        assert len(sessions) == 1
        for span in spans.values():
            attributes = texts(span.attributes)
            assert attributes["session.id"] == f"session of {attributes['user.id']}"
            assert attributes["qualitrace.prompt.version"] == "v2"
        assert texts(answer.attributes)["deployment.environment.name"] == "staging"
    samples = seen(received.request)
    assert [sample["user"] for sample in samples] == ["ada", "Jürgen M"]
    for sample in samples:
        assert (sample["inputs"], sample["outputs"]) == ("Capital of France?", "Paris.")
        assert sample["calls"] == 1
