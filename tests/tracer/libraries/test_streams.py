"""Cheaper streams record what OpenTelemetry's own record."""

import json
from typing import Any

import pytest

# Random streams of an OpenAI chat through OpenTelemetry's wrapper: what their spans and metrics have, and what is
# current while a chunk is read.
STREAMS = """
import asyncio, contextlib, json, random, sys
if "quick" in sys.argv:
    from qualitrace.libraries.start import trace_libraries
    trace_libraries([])
from openai.types.chat import ChatCompletionChunk
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.genai.openai.chat_wrappers import AsyncChatStreamWrapper, ChatStreamWrapper
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import InferenceInvocation

memory, reader, chance = InMemorySpanExporter(), InMemoryMetricReader(), random.Random(7)
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(memory))
if "metrics" in sys.argv:
    metrics.set_meter_provider(MeterProvider([reader]))

def choice(index):
    delta = {"content": chance.choice(["a ", "b ", "c ", "", None])}
    if chance.random() < 0.1: delta["refusal"] = "no "
    if chance.random() < 0.1:
        delta["tool_calls"] = [{"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}]
    return {"index": index, "delta": delta, "finish_reason": chance.choice(["stop"] + [None] * 9)}

def chunk():
    made = {"id": chance.choice(["", "r1", "r1"]), "model": chance.choice(["", "m1", "m1"]), "created": 1,
            "object": "chat.completion.chunk", "service_tier": chance.choice([None, None, "default"]),
            "choices": [choice(index) for index in chance.choice([[0], [0], [0], [0], [1], [0, 1], []])]}
    if chance.random() < 0.05:
        made["usage"] = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    return ChatCompletionChunk.model_validate(made)

class Stream:
    def __init__(self, chunks, breaks):
        self.chunks, self.breaks, self.current = chunks, breaks, []
    def __iter__(self):
        for item in self.chunks:
            self.current.append(trace.get_current_span().get_span_context().span_id)
            yield item
        if self.breaks: raise OSError("gone")
    async def __aiter__(self):
        for item in self:
            await asyncio.sleep(0)
            yield item
    def close(self): pass

async def read(wrapper, most, is_async):
    count = 0
    if is_async:
        async for _ in wrapper:
            assert not trace.get_current_span().get_span_context().is_valid
            if (count := count + 1) == most: return
    else:
        for _ in wrapper:
            assert not trace.get_current_span().get_span_context().is_valid
            if (count := count + 1) == most: return

gathered = 0
gather = InferenceInvocation._get_metric_attributes
def counted(self):
    global gathered
    gathered += 1
    return gather(self)
InferenceInvocation._get_metric_attributes = counted

handler = TelemetryHandler()
for number in range(200):
    stream = Stream([chunk() for _ in range(chance.randint(0, 30))], chance.random() < 0.1)
    invocation = handler.inference("openai", request_model="m")
    wrapper = (AsyncChatStreamWrapper if number % 2 else ChatStreamWrapper)(stream, invocation, True)
    with contextlib.suppress(OSError):
        asyncio.run(read(wrapper, chance.choice([0, 0, 5]), number % 2))
    if chance.random() < 0.5 and number % 2 == 0: wrapper.close()
    del wrapper
    assert set(stream.current) <= {invocation.span.get_span_context().span_id}, "read outside of the span"
spans = [
    [span.name, span.status.status_code.name, span.status.description,
     {key: value for key, value in span.attributes.items() if "time_to_first" not in key}]
    for span in memory.get_finished_spans()
]
counts = {}
for data in (reader.get_metrics_data() or reader).resource_metrics if "metrics" in sys.argv else []:
    for scope in data.scope_metrics:
        for metric in scope.metrics:
            counts[metric.name] = sum(point.count for point in metric.data.data_points)
print(json.dumps({"spans": spans, "counts": counts, "gathered": gathered}))
"""


def run(programs: Any, *arguments: str) -> dict[str, Any]:
    done = programs.run(STREAMS, *arguments, OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="span_only")
    assert done.code == 0, done.errors
    return json.loads(done.output)


@pytest.mark.slow
def test_quick_streams_record_the_same(programs: Any) -> None:
    """Of any chunks, read to the end, left, closed or broken off; what is for metrics is not gathered in vain."""
    slow, quick = run(programs), run(programs, "quick")
    assert len(slow["spans"]) == 200
    assert quick["spans"] == slow["spans"]
    assert quick["gathered"] < slow["gathered"] / 4


@pytest.mark.slow
def test_quick_streams_keep_metrics(programs: Any) -> None:
    """With a MeterProvider each chunk is counted as before."""
    slow, quick = run(programs, "metrics"), run(programs, "metrics", "quick")
    assert slow["counts"]["gen_ai.client.operation.time_per_output_chunk"] > 500
    assert quick == slow
