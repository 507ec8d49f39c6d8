"""Spans of Guardrails' guards. Its own are off: they hold dumps of its objects, and one more trace for each chunk."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any, cast

import wrapt

from qualitrace.quiet import never_raises
from qualitrace.spans import Recording, Span


def trace_guards() -> None:
    """Make a span of each run of a guard: what was asked, the validated answer, and whether it passed."""
    from guardrails.settings import settings  # pyright: ignore

    if settings.disable_tracing is None:
        settings.disable_tracing = True
    for module in ("guardrails.llm_providers", "guardrails.utils.openai_utils.v1"):
        for name in ("trace_operation", "trace_llm_call"):  # they write onto whatever span is current
            wrapt.wrap_function_wrapper(module, name, _nothing)
    wrapt.wrap_function_wrapper("guardrails.guard", "trace_guard_execution", _run)
    wrapt.wrap_function_wrapper("guardrails.async_guard", "trace_async_guard_execution", _run_async)


def _nothing(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    return


def _run(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    history = args[1]
    recording = Recording("guard", "chain")
    with ExitStack() as life:
        life.enter_context(recording.lifetime())
        life.callback(_record_question, recording.span, history)
        with recording.current():
            result = wrapped(*args, **kwargs)
        if isinstance(result, Iterator):
            return _stream(recording, cast("Iterator[Any]", result), life.pop_all())
        _record_outcomes(recording.span, [result])
        return result


async def _run_async(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    history = args[1]
    recording = Recording("guard", "chain")
    with ExitStack() as life:
        life.enter_context(recording.lifetime())
        life.callback(_record_question, recording.span, history)
        with recording.current():
            result = await wrapped(*args, **kwargs)
        if isinstance(result, AsyncIterator):
            return _stream_async(recording, cast("AsyncIterator[Any]", result), life.pop_all())
        _record_outcomes(recording.span, [result])
        return result


def _stream(recording: Recording, outcomes: Iterator[Any], life: ExitStack) -> Iterator[Any]:
    seen: list[Any] = []
    with life:
        life.callback(_record_outcomes, recording.span, seen)
        while True:
            with recording.current():
                outcome = next(outcomes, None)
            if outcome is None:
                return
            seen.append(outcome)
            yield outcome


async def _stream_async(recording: Recording, outcomes: AsyncIterator[Any], life: ExitStack) -> AsyncIterator[Any]:
    seen: list[Any] = []
    with life:
        life.callback(_record_outcomes, recording.span, seen)
        while True:
            with recording.current():
                outcome = await anext(outcomes, None)
            if outcome is None:
                return
            seen.append(outcome)
            yield outcome


@never_raises
def _record_question(span: Span, history: Any) -> None:
    """Record the messages of the last request, in which the guard has filled in the parameters."""
    last = history.last and history.last.iterations.last
    if messages := last and last.inputs.messages:
        span.set_inputs([{"role": message["role"], "content": str(message["content"])} for message in messages])


@never_raises
def _record_outcomes(span: Span, outcomes: list[Any]) -> None:
    """Record the validated answer, of a stream joined; the model's own if it did not pass."""
    answers = [outcome.validated_output or outcome.raw_llm_output for outcome in outcomes]
    is_text = all(isinstance(answer, str) for answer in answers)
    span.set_outputs("".join(answers) if is_text else answers[-1])
    span.set_attribute("guardrails.validation_passed", all(outcome.validation_passed for outcome in outcomes))
