"""`qualitrace doctor` names what is not traced: from calls of models that real frameworks made, and from made-up ones."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.doctor.remedies import remedy_for
from qualitrace_collector.journal import JournalEntry
from qualitrace_collector.state import CoverageTotals
from qualitrace_collector.state.coverage import Content, Source
from support.otlp import SECOND, START, attributes, chat_span, span, trace_id
from support.pipeline import Collector

RECORDINGS = Path(__file__).parents[2] / "libraries" / "recordings"
CLIENT = "opentelemetry.instrumentation.genai.openai"
LONG = "The warranty of a tent lasts 24 months from the day of purchase."
NEXT = 60 * SECOND


def client_alone(name: str) -> ExportTraceServiceRequest:
    """Return a recorded request without its framework's spans: each call of the model is a trace of its own."""
    message = ExportTraceServiceRequest.FromString((RECORDINGS / f"{name}.otlp.pb").read_bytes())
    number = 0
    for group in message.resource_spans:
        kept = [scope for scope in group.scope_spans if scope.scope.name == CLIENT]
        for scope in kept:
            for item in scope.spans:
                number += 1
                item.trace_id, item.parent_span_id, item.flags = trace_id(number), b"", 0
        del group.scope_spans[:]
        group.scope_spans.extend(kept)
    assert number
    return message


def lacking(collector: Collector, content: str) -> tuple[int, int]:
    """Return how many traces were looked at for a content, and how many lack it."""
    rows = [row for row in CoverageTotals(collector.database).totals() if row["content"] == content]
    return sum(row["traces"] for row in rows), sum(row["lacking"] for row in rows)


def told(result: Result) -> str:
    return " ".join(result.output.split())


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("crewai__tools", "crewai"),
        ("smolagents__tools", "smolagents"),
        ("autogen__tools", "autogen"),
        ("llama-index__rag", "llama-index"),
    ],
)
def test_a_framework_is_known_by_its_prompts(
    make: Callable[..., Collector], ask: Callable[..., Result], name: str, library: str
):
    """With the command that brings its instrumentor."""
    collector = make()
    payload = client_alone(name).SerializeToString()
    collector.journal.append([JournalEntry(signal="traces", payload=payload, received_at=collector.now)])
    collector.run()
    assert f"- {library} (" in told(ask())
    assert f"pip install 'qualitrace[{library}]'" in told(ask())
    (found,) = json.loads(ask("--json").output)["untraced"]
    assert (found["library"], "mend" in found) == (library, True)


@pytest.mark.parametrize(
    "name",
    ["openai-agents__tools", "openai-agents__tools_chat_completions", "pydantic-ai__tools", "llama-index__agent"],
)
def test_an_agent_in_pieces_is_noticed(make: Callable[..., Collector], ask: Callable[..., Result], name: str):
    """Its first call asks for a tool, its last goes on from the result, and no span runs the tool."""
    collector = make()
    payload = client_alone(name).SerializeToString()
    collector.journal.append([JournalEntry(signal="traces", payload=payload, received_at=collector.now)])
    collector.run()
    assert lacking(collector, "run") == lacking(collector, "tools") == (2, 2)
    output = told(ask())
    assert "an agent's run comes in pieces" in output
    assert "`qualitrace bootstrap` in the application's environment" in output


@pytest.mark.parametrize("name", ["openai-agents__tools", "llama-index__agent", "langchain__agent", "strands__tools"])
def test_a_traced_agent_lacks_nothing(make: Callable[..., Collector], name: str):
    """The same agents with the spans of their framework."""
    collector = make()
    payload = (RECORDINGS / f"{name}.otlp.pb").read_bytes()
    collector.journal.append([JournalEntry(signal="traces", payload=payload, received_at=collector.now)])
    collector.run()
    assert lacking(collector, "run") == lacking(collector, "tools") == (1, 0)


ASKING = {
    "openai": {"choices": [{"message": {"role": "assistant", "tool_calls": [{"function": {"name": "weather"}}]}}]},
    "openai responses": [{"type": "function_call", "name": "weather", "arguments": "{}", "call_id": "c"}],
    "anthropic": {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {}}]},
    "gemini": {"candidates": [{"content": {"role": "model", "parts": [{"functionCall": {"name": "weather"}}]}}]},
    "bedrock": {"output": {"message": {"role": "assistant", "content": [{"toolUse": {"name": "weather"}}]}}},
    "vercel": [{"type": "tool-call", "toolCallId": "c", "toolName": "weather", "input": {}}],
    "opentelemetry": [{"role": "assistant", "parts": [{"type": "tool_call", "name": "weather", "arguments": {}}]}],
}
NOT_ASKING = {
    "run by the provider": [{"type": "web_search_call", "id": "w"}, {"type": "server_tool_use", "name": "web_search"}],
    "offered": {"output": [{"role": "assistant", "content": "18"}], "tools": [{"type": "function", "name": "weather"}]},
    "the answer itself": {"role": "assistant", "tool_calls": [{"function": {"name": "final_answer"}}]},
    "a word": {"role": "assistant", "content": "A function and a tool."},
}


@pytest.mark.parametrize(("outputs", "lacks"), [*((o, 1) for o in ASKING.values()), *((o, 0) for o in NOT_ASKING.values())],
                         ids=[*ASKING, *NOT_ASKING])  # fmt: skip
def test_tools_are_asked_for_in_any_form(make: Callable[..., Collector], outputs: object, lacks: int):
    """As providers record it; tools that the provider runs, or that give the answer its form, need no span."""
    collector = make()
    content = {"input__value": "Hot?", "output__value": json.dumps(outputs), "output__mime_type": "application/json"}
    collector.send([span(1, 1, openinference__span__kind="LLM", llm__model_name="m", **content)])
    collector.run()
    assert lacking(collector, "tools") == (lacks, lacks)


def call(number: int, question: str, answer: str, at: float = 0.0, **values: str) -> Span:
    start = START + number * NEXT if at == 0 else START + int(at * SECOND)
    return chat_span(number, 1, question=question, answer=answer, start=start, **values)


def chat(number: int, *turns: str, at: float, answer: str) -> Span:
    """Build a turn of a chat, whose prompt repeats the turns before."""
    roles = ("user", "assistant")
    messages = [
        {"role": roles[index % 2], "parts": [{"type": "text", "content": text}]} for index, text in enumerate(turns)
    ]
    item = call(number, "", answer, at, session__id="s1")
    (content,) = (pair for pair in item.attributes if pair.key == "gen_ai.input.messages")
    content.value.string_value = json.dumps(messages)
    return item


def in_pieces() -> Iterator[object]:
    yield pytest.param([call(1, "Plan.", LONG, 1), call(2, f"Write of: {LONG}", "So.", 3)], 1, id="quotes")
    yield pytest.param([call(1, "Plan.", LONG, 1), call(2, f"Write of: {LONG}", "So.", 60)], 0, id="quotes much later")
    yield pytest.param([call(1, "Plan.", "Yes.", 1), call(2, "Yes. Go on.", "So.", 3)], 0, id="a short answer")
    same = {"session__id": "s1"}
    yield pytest.param([call(1, "A?", "A.", 1, **same), call(2, "B?", "B.", 3, **same)], 1, id="one session at once")
    yield pytest.param([call(1, "A?", "A.", 1, **same), call(2, "B?", "B.", 1.5, **same)], 1, id="side by side")
    yield pytest.param([call(1, "A?", "A.", 1, **same), call(2, "B?", "B.", 30, **same)], 0, id="a person's pause")
    yield pytest.param([call(1, "A?", "A.", 1), call(2, "B?", "B.", 2.1)], 0, id="two users")
    turns = [chat(1, "A?", at=1, answer=LONG), chat(2, "A?", LONG, "B?", at=2.5, answer="B.")]
    yield pytest.param(turns, 0, id="a quick chat")


@pytest.mark.parametrize(("calls", "lacks"), in_pieces())
def test_calls_that_go_on_from_one_another_are_a_run(make: Callable[..., Collector], calls: list[Span], lacks: int):
    """By a quoted answer, or within a session faster than a person; a chat's turns are no pieces."""
    collector = make()
    for item in calls:
        collector.send([item])
    collector.run()
    assert lacking(collector, "run") == (lacks, lacks)


def test_passages_without_a_retriever(make: Callable[..., Collector], ask: Callable[..., Result]):
    """The prompt marks them, and no span fetched them; with the retriever's span nothing is missing."""
    prompt = f"Answer from the context.\n\nContext:\n{LONG} {LONG}\n\n{LONG} {LONG} {LONG}\n\nQuestion: How long?"
    collector = make()
    collector.send([span(1, 1), chat_span(1, 2, 1, question=prompt, answer="24 months.")])
    collector.run()
    assert lacking(collector, "retriever") == (1, 1)
    assert "prompts carry passages, and no span fetches any" in told(ask())
    fetched = span(2, 2, 1, openinference__span__kind="RETRIEVER", output__value=json.dumps([{"page_content": LONG}]))
    collector.send([span(2, 1), fetched, chat_span(2, 3, 1, question=prompt, answer="24 months.")])
    collector.run()
    assert lacking(collector, "retriever") == (2, 1)


def test_the_sdk_names_what_the_application_imported(make: Callable[..., Collector], ask: Callable[..., Result]):
    """A name that is no library's is no advice."""
    collector = make()
    root = chat_span(1, 1, question="Q?", answer="A.")
    root.attributes.extend(attributes({"qualitrace.untraced_libraries": '["haystack", "rm -rf /"]'}))
    collector.send([root])
    collector.run()
    collector.send([root])  # a resend counts nothing
    collector.run()
    output = told(ask())
    assert "haystack (shop): used and not traced (1 traces): pip install 'qualitrace[haystack]'" in output
    assert "rm -rf" not in output


@pytest.mark.parametrize(
    ("scope", "dialect"),
    [
        ("qualitrace", "openinference"),
        ("opentelemetry.instrumentation.crewai", "openllmetry"),
        ("openinference.instrumentation.llama_index", "openinference"),
        ("opentelemetry.instrumentation.genai.openai", "opentelemetry-genai"),
    ],
)
def test_our_own_spans_get_our_own_remedy(scope: str, dialect: str):
    """The SDK decides for all instrumentors that it starts; without it the same scope has its own variable."""
    ours = Source("shop", scope, dialect, distro="qualitrace")
    assert "QUALITRACE_CAPTURE" in remedy_for(ours, "output")
    assert "qualitrace.session" in remedy_for(ours, "session")
    others = remedy_for(ours, "input") + remedy_for(ours, "session")
    assert not any(name in others for name in ("TRACELOOP", "Traceloop", "OPENINFERENCE", "using_session"))


@pytest.mark.parametrize(
    ("scope", "dialect", "package"),
    [
        (CLIENT, "opentelemetry-genai", "opentelemetry-instrumentation-genai-"),
        ("openinference.instrumentation.openai", "openinference", "openinference-instrumentation-"),
        ("opentelemetry.instrumentation.openai.v1", "openllmetry", "opentelemetry-instrumentation-crewai"),
        ("my.wrapper", "none", "instrument the framework"),
    ],
)
@pytest.mark.parametrize("content", ["run", "tools", "retriever"])
def test_others_are_sent_to_their_own_family(scope: str, dialect: str, package: str, content: Content):
    """Two families in one process would count a call twice."""
    assert package in remedy_for(Source("shop", scope, dialect), content)


def test_the_sdk_is_known_by_its_resource(make: Callable[..., Collector], ask: Callable[..., Result]):
    """Spans of an instrumentor of another family, sent by qualitrace's SDK."""
    collector = make()
    message = client_alone("crewai__tools")
    for scope in message.resource_spans[0].scope_spans:
        scope.scope.name = "opentelemetry.instrumentation.crewai"
        for item in scope.spans:
            kept = [pair for pair in item.attributes if "messages" not in pair.key]
            del item.attributes[:]
            item.attributes.extend(kept)
    payload = message.SerializeToString()
    collector.journal.append([JournalEntry(signal="traces", payload=payload, received_at=collector.now)])
    collector.run()
    assert "QUALITRACE_CAPTURE" in told(ask())
    assert "TRACELOOP" not in told(ask())


def test_a_function_that_returns_nothing_lacks_nothing(make: Callable[..., Collector]):
    """It has no arguments and returns None, which is recorded; with content off nothing is."""
    recorded = {
        "input__value": "{}",
        "input__mime_type": "application/json",
        "output__value": "null",
        "output__mime_type": "application/json",
    }
    collector = make()
    collector.send([span(1, 1, openinference__span__kind="CHAIN", **recorded)])
    collector.send([span(2, 1, openinference__span__kind="CHAIN")])
    collector.run()
    assert lacking(collector, "input") == lacking(collector, "output") == (2, 1)


@pytest.mark.parametrize("name", ["strands__tools", "pydantic-ai__structured", "smolagents__tools", "mcp__http"])
def test_a_tools_result_is_no_passage_without_a_retriever(make: Callable[..., Collector], name: str):
    """It stands in the prompt, too, and has the span of its tool; a form of the answer is no tool."""
    collector = make()
    payload = (RECORDINGS / f"{name}.otlp.pb").read_bytes()
    collector.journal.append([JournalEntry(signal="traces", payload=payload, received_at=collector.now)])
    collector.run()
    assert lacking(collector, "retriever") == (0, 0)
    assert lacking(collector, "tools")[1] == lacking(collector, "run")[1] == 0
