"""An own span for each call of a judge that waits for others, by OpenTelemetry's GenAI conventions."""

from collections.abc import Generator
from contextlib import contextmanager

from opentelemetry.trace import SpanKind, StatusCode, Tracer

from qualitrace_collector.telemetry.spans import own_span
from qualitrace_monitors.judging.judgement import Judgement


@contextmanager
def call_span(tracer: Tracer, judgement: Judgement) -> Generator[None]:
    """Make the span of a call that is about to be made; local judges only compute, and have none."""
    judge = judgement.judge
    if judge.tier == "local":
        yield
        return
    provider, _, model = judge.model.partition(":/")
    named = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": provider, "gen_ai.request.model": model}
    attributes = {**(named if model else {}), "gen_ai.evaluation.name": judge.name}
    name = f"chat {model}" if model else f"evaluate {judge.name}"
    with own_span(tracer, name, kind=SpanKind.CLIENT, attributes=attributes) as span:
        yield
        if judgement.usage is not None:
            span.set_attribute("gen_ai.usage.input_tokens", judgement.usage.input_tokens)
            span.set_attribute("gen_ai.usage.output_tokens", judgement.usage.output_tokens)
        if judgement.score is None and judgement.outcome != "not_applicable":
            span.set_attribute("error.type", "TransientJudgeError" if judgement.refused else "JudgeError")
            span.set_status(StatusCode.ERROR)
