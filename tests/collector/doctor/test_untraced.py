"""`qualitrace doctor` names what is not traced: from calls of models that real frameworks made, and from made-up ones."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from qualitrace_collector.doctor.remedies import remedy_for
from qualitrace_collector.journal import JournalEntry
from qualitrace_collector.state import CoverageTotals
from qualitrace_collector.state.coverage import Content, Source
from support.otlp import SECOND, START, attributes, chat_span, request, span, trace_id
from support.pipeline import Collector

RECORDINGS = Path(__file__).parents[2] / "libraries" / "recordings"
CLIENT = "opentelemetry.instrumentation.genai.openai"
LONG = "The warranty of a tent lasts 24 months from the day of purchase."


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
    assert (found["library"], "remedy" in found) == (library, True)


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


@pytest.mark.parametrize(("prompt", "lacks"), [(f"Write of: {LONG}", 1), ("Write.", 0)])
def test_calls_that_go_on_from_one_another_are_a_run(make: Callable[..., Collector], prompt: str, lacks: int):
    """The second quotes the answer of the first a moment later."""
    collector = make()
    collector.send([chat_span(1, 1, question="Plan.", answer=LONG)])
    collector.send([chat_span(2, 1, question=prompt, answer="So.", start=START + 2 * SECOND)])
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
    """A name that is not a library's is no advice."""
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


def test_the_sdk_is_known_by_its_steps(make: Callable[..., Collector], ask: Callable[..., Result]):
    """Beside an application's own TracerProvider the resource is not the SDK's."""
    collector = make()
    message = request([span(1, 1, openinference__span__kind="CHAIN")])
    message.resource_spans[0].scope_spans[0].scope.name = "qualitrace"
    call = span(1, 2, 1, gen_ai__operation__name="chat", gen_ai__request__model="m")
    message.resource_spans[0].scope_spans.add(spans=[call]).scope.name = "opentelemetry.instrumentation.groq"
    payload = message.SerializeToString()
    collector.journal.append([JournalEntry(signal="traces", payload=payload, received_at=collector.now)])
    collector.run()
    assert "QUALITRACE_CAPTURE" in told(ask())
    assert "TRACELOOP" not in told(ask())


def test_a_function_that_returns_nothing_lacks_nothing(make: Callable[..., Collector]):
    """It has no arguments and returns None, which is recorded, also below a request. With content off nothing is, and a
    call of a model has content that could be there.
    """
    recorded = {
        "input__value": "{}",
        "input__mime_type": "application/json",
        "output__value": "null",
        "output__mime_type": "application/json",
    }
    collector = make()
    collector.send([span(1, 1, openinference__span__kind="CHAIN", **recorded)])
    collector.send([span(2, 1, openinference__span__kind="CHAIN")])
    served = [span(3, 1, http__request__method="POST"), span(3, 2, 1, openinference__span__kind="CHAIN", **recorded)]
    collector.send(served)
    silent = span(4, 2, 1, gen_ai__operation__name="chat", gen_ai__request__model="m")
    collector.send([span(4, 1, openinference__span__kind="CHAIN", **recorded), silent])
    collector.run()
    assert lacking(collector, "input") == lacking(collector, "output") == (4, 2)


@pytest.mark.parametrize("name", ["strands__tools", "pydantic-ai__structured", "smolagents__tools", "mcp__http"])
def test_a_tools_result_is_no_passage_without_a_retriever(make: Callable[..., Collector], name: str):
    """It stands in the prompt, too, and has the span of its tool; a form of the answer is not a tool."""
    collector = make()
    payload = (RECORDINGS / f"{name}.otlp.pb").read_bytes()
    collector.journal.append([JournalEntry(signal="traces", payload=payload, received_at=collector.now)])
    collector.run()
    assert lacking(collector, "retriever") == (0, 0)
    assert lacking(collector, "tools")[1] == lacking(collector, "run")[1] == 0
