"""Sessions, users and prompt versions on the spans that start inside."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from opentelemetry import trace as otel

import qualitrace


def test_session(tracing: Any) -> None:
    """Every span inside carries session, user and prompt version, those of other tracers too; none outside does."""
    with qualitrace.session("s1", user="u1", prompt_version="v2"), qualitrace.span("ours"):
        otel.get_tracer("other").start_span("theirs").end()
    with qualitrace.span("outside"):
        pass
    spans = tracing.flushed()
    expected = {
        "session.id": "s1",
        "gen_ai.conversation.id": "s1",
        "user.id": "u1",
        "qualitrace.prompt.version": "v2",
    }
    assert expected.items() <= spans["ours"].attributes.items()
    assert spans["theirs"].attributes == expected
    assert not expected.keys() & spans["outside"].attributes.keys()


def test_inner_session_adds(tracing: Any) -> None:
    """An inner session adds to the outer one and ends before it."""
    with qualitrace.session("s1"):
        with qualitrace.session(user="u1"), qualitrace.span("inner"):
            pass
        with qualitrace.span("outer"):
            pass
    spans = tracing.flushed()
    assert spans["inner"].attributes["session.id"] == "s1"
    assert spans["inner"].attributes["user.id"] == "u1"
    assert "user.id" not in spans["outer"].attributes


def test_async_sessions_do_not_mix(tracing: Any) -> None:
    """Tasks that run at the same time keep their own sessions."""

    async def ask(name: str, barrier: asyncio.Barrier) -> None:
        with qualitrace.session(name):
            await barrier.wait()
            with qualitrace.span(name):
                await barrier.wait()

    async def main() -> None:
        barrier = asyncio.Barrier(2)
        await asyncio.gather(ask("a", barrier), ask("b", barrier))

    asyncio.run(main())
    assert {name: span.attributes["session.id"] for name, span in tracing.flushed().items()} == {"a": "a", "b": "b"}


def test_explicit_parent_context(tracing: Any) -> None:
    """A span that is given its parent by hand, in a thread without context, has its parent's session."""
    with qualitrace.session("s1"):
        context = otel.set_span_in_context(otel.get_tracer("t").start_span("parent"))
    otel.get_tracer("t").start_span("child", context=context).end()
    assert tracing.flushed()["child"].attributes["session.id"] == "s1"


def test_thread_with_copied_context(tracing: Any) -> None:
    """A thread that runs in a copy of the context is in the session."""

    def work() -> None:
        with qualitrace.span("work"):
            pass

    with qualitrace.session(7), ThreadPoolExecutor() as pool:  # type: ignore[arg-type]
        pool.submit(copy_context().run, work).result()
    assert tracing.flushed()["work"].attributes["session.id"] == "7"
