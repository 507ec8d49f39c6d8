"""OTLP requests of RAG traces in OpenTelemetry's GenAI conventions, five spans and about 6 KB a trace.

A request is built once; each copy gets trace ids of its own by a patch of its bytes, so that making load
costs far less than taking it.
"""

import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

ID_BYTES = 16
DISTINCT_TRACES = 64
MILLISECOND = 1_000_000
_START = time.time_ns() - 1_000 * MILLISECOND
_LOCAL_PARENT = 0x100
_MODEL = {"gen_ai.provider.name": "openai", "server.address": "api.openai.com", "server.port": 443}
_RESOURCE = {
    "service.name": "library-helpdesk",
    "service.version": "2.3.1",
    "deployment.environment.name": "production",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
}


# Questions, passages and answers about an invented public library: as varied as real text, and repeatable.
_THINGS = "reading room,music studio,map archive,tool shelf,seed exchange,film booth,print shop,bicycle loan".split(",")
_PEOPLE = "members,visitors,students,teachers,researchers,families".split(",")
_RULES = (
    "The {thing} is open to {people} from {start} to {end} o'clock, and on Sundays until noon.",
    "{people} may book the {thing} up to {count} days ahead, at the desk or by telephone.",
    "A place in the {thing} costs {price} euros an hour; the first {count} minutes are free.",
    "Whoever returns something to the {thing} late pays {price} euros for each day, at most {count} euros.",
    "Groups of more than {count} {people} ask the keeper of the {thing} for a date of their own.",
    "Food stays outside the {thing}, but bottles that close may be kept in locker {count}.",
    "In the {thing} at most {count} {people} are let in at once, so that everybody finds a seat.",
    "Damage in the {thing} is reported to the desk on the same day; repairs take about {count} days.",
)
_QUESTIONS = (
    "How do I book the {thing}, and what does it cost for {people}?",
    "When is the {thing} open, and what happens if I come back late?",
    "May {people} bring food into the {thing}, and how many of us fit in?",
)


@dataclass(frozen=True)
class Exchange:
    """A question, the passages found for it and the answer given."""

    question: str
    passages: tuple[str, ...]
    answer: str


def make_exchange(seed: int) -> Exchange:
    """Return the same exchange for the same `seed`."""
    chance = random.Random(seed)
    words = {"thing": chance.choice(_THINGS), "people": chance.choice(_PEOPLE)}
    facts = [_fact(rule, words, chance) for rule in chance.sample(_RULES, len(_RULES))]
    passages = tuple(" ".join(facts[start : start + 4]) for start in range(4))
    return Exchange(
        question=chance.choice(_QUESTIONS).format(**words),
        passages=passages,
        answer=" ".join(facts[:3]) + " Please ask at the desk if anything is unclear.",
    )


def _fact(rule: str, words: dict[str, str], chance: random.Random) -> str:
    start = chance.randint(7, 11)
    numbers = {"start": start, "end": start + chance.randint(5, 10), "count": chance.randint(2, 40)}
    text = rule.format(price=f"{chance.randint(1, 9)}.{chance.randint(10, 99)}", **numbers, **words)
    return text[0].upper() + text[1:]


class Template:
    """A serialised request whose trace ids can be replaced.

    Args:
        first: number of its first trace among the distinct ones.
        traces: how many traces it holds.
    """

    def __init__(self, first: int, traces: int) -> None:
        self.traces = traces
        placeholders = [os.urandom(ID_BYTES) for _ in range(traces)]
        self._body = _request(
            [
                span
                for number, trace_id in enumerate(placeholders, first)
                for span in _trace(trace_id, make_exchange(number % DISTINCT_TRACES))
            ]
        )
        self._slots = [(number, at) for number, item in enumerate(placeholders) for at in _places(self._body, item)]

    def fresh(self) -> bytes:
        """Return the request with random trace ids."""
        body, ids = bytearray(self._body), os.urandom(ID_BYTES * self.traces)
        for number, at in self._slots:
            body[at : at + ID_BYTES] = ids[number * ID_BYTES : (number + 1) * ID_BYTES]
        return bytes(body)


def templates(traces: int) -> list[Template]:
    """Return requests of `traces` traces each which together hold every distinct trace at least once."""
    return [Template(first, traces) for first in range(0, DISTINCT_TRACES, traces)]


def _places(body: bytes, wanted: bytes) -> Iterator[int]:
    at = body.find(wanted)
    while at >= 0:
        yield at
        at = body.find(wanted, at + len(wanted))


def _request(spans: list[Span]) -> bytes:
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add(resource=Resource(attributes=_attributes(_RESOURCE)))
    group.scope_spans.add(scope=InstrumentationScope(name="helpdesk", version="2.3.1"), spans=spans)
    return message.SerializeToString()


def _trace(trace_id: bytes, exchange: Exchange) -> list[Span]:
    """Build the spans of one request to the helpdesk, in the order in which they end."""
    question, answer = _message("user", exchange.question), _message("assistant", exchange.answer)
    documents = [
        {"id": f"handbook-{rank}", "score": 0.9 - rank / 10, "content": text}
        for rank, text in enumerate(exchange.passages)
    ]
    prompt = "\n\n".join(["Answer from these passages of the handbook:", *exchange.passages])
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "helpdesk"} | _content([question], [answer])
    embed = {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "text-embedding-3-small"} | _MODEL
    retrieve = {"gen_ai.operation.name": "retrieval", "gen_ai.data_source.id": "handbook"}
    retrieve |= {"gen_ai.retrieval.query.text": exchange.question, "gen_ai.retrieval.documents": json.dumps(documents)}
    chat = _chat() | _content([_message("system", prompt), question], [answer])
    web: dict[str, Any] = {"http.request.method": "POST", "http.route": "/ask", "http.response.status_code": 200}
    return [
        _span(trace_id, 4, 3, "embeddings text-embedding-3-small", (30, 80), embed, Span.SPAN_KIND_CLIENT),
        _span(trace_id, 3, 2, "retrieval handbook", (20, 120), retrieve, Span.SPAN_KIND_CLIENT),
        _span(trace_id, 5, 2, "chat gpt-5-mini", (130, 930), chat, Span.SPAN_KIND_CLIENT),
        _span(trace_id, 2, 1, "invoke_agent helpdesk", (10, 940), agent, Span.SPAN_KIND_INTERNAL),
        _span(trace_id, 1, 0, "POST /ask", (0, 950), web, Span.SPAN_KIND_SERVER),
    ]


def _chat() -> dict[str, Any]:
    usage = {"gen_ai.usage.input_tokens": 412, "gen_ai.usage.output_tokens": 96}
    names = {"gen_ai.request.model": "gpt-5-mini", "gen_ai.response.model": "gpt-5-mini-2025-08-07"}
    return {"gen_ai.operation.name": "chat", "gen_ai.output.type": "text"} | names | usage | _MODEL


def _content(inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> dict[str, str]:
    return {"gen_ai.input.messages": json.dumps(inputs), "gen_ai.output.messages": json.dumps(outputs)}


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _span(
    trace_id: bytes, number: int, parent: int, name: str, window: tuple[int, int], values: dict[str, Any], kind: Any
) -> Span:
    """Build a span; `window` is its start and end in milliseconds after the trace's start."""
    return Span(
        trace_id=trace_id,
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        flags=_LOCAL_PARENT if parent else 0,
        name=name,
        kind=kind,
        start_time_unix_nano=_START + window[0] * MILLISECOND,
        end_time_unix_nano=_START + window[1] * MILLISECOND,
        attributes=_attributes(values),
    )


def _attributes(values: dict[str, Any]) -> list[KeyValue]:
    kinds = {str: "string_value", int: "int_value"}
    return [KeyValue(key=key, value=AnyValue(**{kinds[type(value)]: value})) for key, value in values.items()]
