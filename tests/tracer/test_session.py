"""Sessions, users and prompt versions on the spans that start inside."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from mlflow.entities.model_registry import PromptVersion
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


def test_prompt_and_user(tracing: Any) -> None:
    """The spans inside carry the user and the prompt; MLflow's prompt is read by its name and version."""
    with qualitrace.user("ada"), qualitrace.prompt("rewrite", 2), qualitrace.span("named"):
        pass
    with qualitrace.prompt(PromptVersion("answer", 3, "{{question}}")), qualitrace.span("loaded"):
        pass
    spans = {name: span.attributes for name, span in tracing.flushed().items()}
    assert spans["named"]["user.id"] == "ada"
    assert (spans["named"]["gen_ai.prompt.name"], spans["named"]["gen_ai.prompt.version"]) == ("rewrite", "2")
    assert (spans["loaded"]["gen_ai.prompt.name"], spans["loaded"]["gen_ai.prompt.version"]) == ("answer", "3")
    assert "user.id" not in spans["loaded"]


def test_inner_prompt_replaces(tracing: Any) -> None:
    """An inner prompt without a version does not take over the outer one's, and the session stays."""
    with qualitrace.session("s1"), qualitrace.prompt("a", 1):
        with qualitrace.prompt("b"), qualitrace.span("inner"):
            pass
        with qualitrace.span("outer"):
            pass
    spans = {name: span.attributes for name, span in tracing.flushed().items()}
    assert spans["inner"]["gen_ai.prompt.name"] == "b"
    assert "gen_ai.prompt.version" not in spans["inner"]
    assert spans["inner"]["session.id"] == "s1"
    assert spans["outer"]["gen_ai.prompt.version"] == "1"


class Broken:
    """Raises where its text or its name is read."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    @property
    def name(self) -> str:
        raise RuntimeError("no name")


def test_what_cannot_be_read_breaks_nothing(tracing: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The block runs; a thing without a name is said."""
    with qualitrace.user(Broken()), qualitrace.prompt(Broken()), qualitrace.span("ran"):  # type: ignore[arg-type]
        pass
    with qualitrace.prompt(3), qualitrace.span("wrong"):
        pass
    assert tracing.flushed().keys() == {"ran", "wrong"}
    assert "prompt() takes a name, or an object with name and version, not int" in caplog.text
