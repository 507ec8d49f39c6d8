"""`qualitrace doctor`: traces of real dialects, with and without content, through the pipeline to the report."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.doctor.remedies import remedy_for
from qualitrace_collector.journal import JournalEntry
from qualitrace_collector.state import CoverageTotals, Database, Ledger
from qualitrace_collector.state.coverage import MAX_SOURCES, Source
from qualitrace_collector.state.services import FULL_TENANTS
from support.otlp import chat_span, rag_trace, request, retriever_span, span
from support.pipeline import Collector, rag

GENAI_SCOPE = "opentelemetry.instrumentation.genai.openai"
OPENINFERENCE_SCOPE = "openinference.instrumentation.langchain"


def bare_call(number: int) -> list[Span]:
    """A model call as OpenTelemetry's instrumentor sends it without content capture."""
    recorded = {"operation__name": "chat", "request__model": "gpt-4o-mini", "usage__input_tokens": 14}
    return [span(number, 1, name="chat gpt-4o-mini", **{f"gen_ai__{key}": value for key, value in recorded.items()})]


def hidden_call(number: int) -> list[Span]:
    """A model call as OpenInference sends it with inputs and outputs hidden."""
    hidden = {"input__value": "__REDACTED__", "output__value": "__REDACTED__"}
    return [span(number, 1, openinference__span__kind="LLM", llm__model_name="gpt-4o-mini", **hidden)]


def send(collector: Collector, spans: list[Span], scope: str, service: str = "shop") -> None:
    """Put the spans of one scope into the journal."""
    message = request(spans, service)
    message.resource_spans[0].scope_spans[0].scope.name = scope
    entry = JournalEntry(signal="traces", payload=message.SerializeToString(), received_at=collector.now)
    collector.journal.append([entry])


def lacking(collector: Collector, scope: str) -> dict[str, tuple[int, int]]:
    """Return, by content, how many of a scope's traces were looked at and how many lack it."""
    rows = [row for row in CoverageTotals(collector.database).totals() if row["scope"] == scope]
    counts: dict[str, tuple[int, int]] = {}
    for row in rows:
        traces, lack = counts.get(row["content"], (0, 0))
        counts[row["content"]] = (traces + row["traces"], lack + row["lacking"])
    return counts


def test_a_whole_trace_lacks_but_its_session(make: Callable[..., Collector]):
    """Question, answer, tokens and documents are found; the session is the one gap."""
    collector = make()
    send(collector, rag(1), "app")
    collector.run()
    assert lacking(collector, "app") == {
        "input": (1, 0), "output": (1, 0), "tokens": (1, 0), "documents": (1, 0), "retriever": (1, 0), "session": (1, 1)
    }  # fmt: skip


@pytest.mark.parametrize(("build", "scope"), [(bare_call, GENAI_SCOPE), (hidden_call, OPENINFERENCE_SCOPE)])
def test_content_that_is_left_out_or_hidden_is_lacking(
    make: Callable[..., Collector], build: Callable[[int], list[Span]], scope: str
):
    """Absent attributes count like placeholders; documents do not apply without a retriever."""
    collector = make()
    send(collector, build(1), scope)
    send(collector, [chat_span(2, 1, question="Q?", answer="A.", session__id="s")], scope)
    collector.run()
    found = lacking(collector, scope)
    assert found["input"] == found["output"] == found["session"] == (2, 1)
    assert "documents" not in found
    assert found["tokens"] == (2, 0 if scope == GENAI_SCOPE else 1)


@pytest.mark.parametrize(
    "outputs",
    [
        '{"label": "late", "score": 0.9}',
        "false",
        '{"choices": [{"message": {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}}]}',
    ],
    ids=["structured", "boolean", "call of a tool"],
)
def test_content_that_is_recorded_is_not_lacking(make: Callable[..., Collector], outputs: str):
    """A structured answer, and a call of a tool: content capture is on, whether there are words in it or not."""
    collector = make()
    content = {"input__value": "Why?", "output__value": outputs, "output__mime_type": "application/json"}
    send(collector, [span(1, 1, openinference__span__kind="LLM", llm__model_name="m", **content)], OPENINFERENCE_SCOPE)
    send(collector, [span(2, 1, openinference__span__kind="CHAIN", **content)], OPENINFERENCE_SCOPE)
    collector.run()
    found = lacking(collector, OPENINFERENCE_SCOPE)
    assert (found["input"], found["output"]) == ((2, 0), (2, 0))


def test_a_failed_call_lacks_nothing(make: Callable[..., Collector]):
    """It has neither an answer nor tokens, whatever is captured; an empty message of one that went well is lacking."""
    collector = make()
    message = '[{"role": "assistant", "parts": [{"type": "text", "content": ""}], "finish_reason": "stop"}]'
    call = {"gen_ai__operation__name": "chat", "gen_ai__request__model": "m", "gen_ai__output__messages": message}
    send(collector, [span(1, 1, error="rate limit", **call)], GENAI_SCOPE)
    send(collector, [span(2, 1, **call)], GENAI_SCOPE)
    collector.run()
    assert lacking(collector, GENAI_SCOPE)["output"] == (1, 1)


def test_a_service_without_a_retriever_is_advised_to_mark_it(
    make: Callable[..., Collector], ask: Callable[..., Result]
):
    """Its passages are in no span, so that the judges of passages have nothing to judge; with a retriever they have."""
    collector = make()
    send(collector, [chat_span(1, 1, question="Q?", answer="A.")], GENAI_SCOPE, "bare")
    send(collector, rag(2), GENAI_SCOPE, "rag")
    collector.run()
    with collector.database.transaction() as connection:
        for service in ("bare", "rag"):
            Ledger.add(connection, service, "not_applicable", "groundedness")
    output = ask().output
    assert "documents (bare): no span fetches any" in output
    assert "documents (rag)" not in output


def test_a_tenant_with_too_many_services_is_named_with_the_way_out(
    make: Callable[..., Collector], ask: Callable[..., Result], tmp_path: Path
):
    """So that who misses a service under its name finds out why it is called `other`."""
    settings = {"mlflow": {"max_experiments": 2}}
    (tmp_path / "q.yaml").write_text(yaml.safe_dump({"data_dir": str(tmp_path), **settings}))
    collector = make(**settings)
    for number, (service, tenant) in enumerate((("a", "noisy"), ("b", "noisy"), ("c", "noisy"), ("a", "quiet")), 1):
        collector.send(rag(number), service, tenant)
    collector.run()
    output = ask().output
    assert "tenant noisy: 2 services of 2, further ones are called other; let applications send" in output
    assert "tenant quiet" not in output


def test_the_retriever_answers_for_its_documents(make: Callable[..., Collector]):
    """Two scopes in one trace: texts are missing at the retriever's, nothing but the session at the call's."""
    collector = make()
    root, retriever, call = rag_trace(1, question="Q?", answer="A.", passages=["P."])
    textless = json.dumps([{"id": "7", "score": 0.5}])
    retriever = retriever_span(1, 2, 1, query="Q?", passages=[], output__value=textless)
    message = request([root, call])
    message.resource_spans[0].scope_spans[0].scope.name = GENAI_SCOPE
    message.resource_spans[0].scope_spans.add(spans=[retriever]).scope.name = OPENINFERENCE_SCOPE
    entry = JournalEntry(signal="traces", payload=message.SerializeToString(), received_at=collector.now)
    collector.journal.append([entry])
    collector.run()
    assert lacking(collector, OPENINFERENCE_SCOPE) == {"documents": (1, 1)}
    assert lacking(collector, GENAI_SCOPE)["input"] == (1, 0)


def test_a_trace_counts_once(make: Callable[..., Collector]):
    """A late span and a replay after a crash change no total."""
    collector = make()
    send(collector, rag(1), "app")
    collector.run()
    before = lacking(collector, "app")
    send(collector, [span(1, 9, 1)], "app")
    send(collector, rag(1), "app")
    collector.restart()
    collector.run()
    assert lacking(collector, "app") == before


def test_what_comes_late_is_no_gap(make: Callable[..., Collector]):
    """Question, answer and tokens that another process sends after the root; twice, over a restart, counts once.

    The metric of traces that lacked them stays: a counter never falls.
    """
    collector = make()
    root = span(1, 1, name="GET /", gen_ai__operation__name="chat")
    send(collector, [root], "app")
    collector.run(5)
    assert lacking(collector, "app") == {"input": (1, 1), "output": (1, 1), "tokens": (1, 1), "session": (1, 1)}
    for _ in range(2):
        send(collector, rag(1)[1:], GENAI_SCOPE)
        collector.restart()
        collector.run(65)
    assert lacking(collector, "app") == {"input": (1, 0), "output": (1, 0), "tokens": (1, 0), "session": (1, 1)}
    assert lacking(collector, GENAI_SCOPE) == {"documents": (1, 0), "retriever": (1, 0)}
    assert {row["lacked"] for row in CoverageTotals(collector.database).totals() if row["scope"] == "app"} == {1}


def test_an_orphan_counts_for_the_scope_that_sent_it(make: Callable[..., Collector]):
    """When it is taken for whole, minutes after its spans came, who sent them is still known."""
    collector = make()
    send(collector, bare_call(1), GENAI_SCOPE)
    collector.run(5)
    orphan = bare_call(2)
    orphan[0].parent_span_id = b"p" * 8
    send(collector, orphan, GENAI_SCOPE)
    collector.run(70)
    assert lacking(collector, GENAI_SCOPE)["input"] == (1, 1)
    collector.restart()
    collector.run(90)
    assert lacking(collector, GENAI_SCOPE) == {
        "input": (2, 2), "output": (2, 2), "tokens": (2, 0), "session": (2, 2)
    }  # fmt: skip


def test_names_from_outside_are_bounded(make: Callable[..., Collector]):
    """A tenant's scopes beyond the limit are counted together, and take no other tenant's room; nor do all together."""
    database = make().database
    tenants = ("", "a", "b", "c", "d", "e")
    with database.transaction() as connection:
        for tenant in tenants:
            scopes = (f"scope-{number}" for number in range(MAX_SOURCES + 5))
            sources = [Source(f"shop-{tenant}", scope, "none", tenant=tenant) for scope in scopes]
            CoverageTotals.change(connection, [({}, {(source, "input"): False}) for source in sources])
    rows = CoverageTotals(database).totals()
    others = {row["tenant"]: row["traces"] for row in rows if row["scope"] == "other"}
    assert [others[tenant] for tenant in tenants[:4]] == [5] * 4
    assert others["e"] == MAX_SOURCES + 5
    assert sum(row["scope"] != "other" for row in rows) <= MAX_SOURCES * FULL_TENANTS


def test_sources_of_an_older_file_are_kept(make: Callable[..., Collector], tmp_path: Path):
    """They were counted before tenants were known of them."""
    database = make().database
    with database.transaction() as connection:
        CoverageTotals.change(connection, [({}, {(Source("shop", "app", "none"), "input"): False})])
        connection.execute("DROP TABLE coverage_source")
    rows = CoverageTotals(Database(database.path)).totals()
    assert [(row["scope"], row["tenant"], row["lacking"]) for row in rows] == [("app", "", 1)]


def test_the_report_names_share_remedy_and_outcome(make: Callable[..., Collector], ask: Callable[..., Result]):
    """As text: half the traces lack the input, the variable that fixes it, and why a judgement has no score."""
    collector = make(sampling={"rate": 0.0, "always": []})
    send(collector, bare_call(1), GENAI_SCOPE)
    send(collector, [chat_span(2, 1, question="Q?", answer="A.")], GENAI_SCOPE)
    collector.run()
    shown = ask()
    assert shown.exit_code == 0, shown.output
    text = " ".join(shown.output.split())
    assert "50 %" in text
    assert text.count("span_only") == 1
    assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only" in text
    assert "sampled_out" in text


def test_a_narrow_terminal_loses_no_letter(make: Callable[..., Collector], ask: Callable[..., Result]):
    """The name of the metric to look at is longer than its column: it goes on in the next line."""
    database = make().database
    with database.transaction() as connection:
        connection.execute("INSERT INTO ledger VALUES ('retrieval_relevance', 'shop', 'failed', 1, 1)")
    shown = ask()
    assert "qualitrace_judge_errors_total" in "".join(shown.output.split())


def test_a_narrow_terminal_shows_each_source_and_content_in_full(
    make: Callable[..., Collector], ask: Callable[..., Result]
):
    """At 80 columns, without a letter left out."""
    collector = make()
    send(collector, rag(1), GENAI_SCOPE)
    collector.run()
    words = ask().output.split()
    assert {"shop", GENAI_SCOPE, "documents", "retriever", "session"} <= set(words)


def test_json_reports_the_same(make: Callable[..., Collector], ask: Callable[..., Result]):
    """One object, with a remedy for each gap and a meaning for each outcome that explains a missing score."""
    collector = make()
    send(collector, hidden_call(1), OPENINFERENCE_SCOPE)
    collector.run()
    report = json.loads(ask("--json").output)
    (gap,) = (item for item in report["coverage"] if item["content"] == "input")
    assert (gap["dialect"], gap["traces"], gap["lacking"]) == ("openinference", 1, 1)
    assert "OPENINFERENCE_HIDE_INPUTS" in gap["remedy"]
    assert {item["outcome"] for item in report["outcomes"]} == {"stored", "queued"}


def test_nothing_received_says_where_to_send(make: Callable[..., Collector], ask: Callable[..., Result]):
    """An empty state database is not an error."""
    make()
    shown = ask()
    assert shown.exit_code == 0
    assert "127.0.0.1:4318" in shown.output


def test_a_missing_state_database_is_an_error(ask: Callable[..., Result]):
    """It names the file and the option."""
    shown = ask()
    assert shown.exit_code == 1
    assert "state.db: no such file" in shown.output
    assert "--config" in shown.output


@pytest.mark.parametrize(
    ("scope", "dialect", "setting"),
    [
        (GENAI_SCOPE, "opentelemetry-genai", "span_only"),
        ("opentelemetry.instrumentation.openai_v2", "opentelemetry-genai", "gen_ai_latest_experimental"),
        ("opentelemetry.instrumentation.openai.v1", "opentelemetry-genai", "TRACELOOP_TRACE_CONTENT"),
        ("ai", "opentelemetry-genai", "recordInputs"),
        ("gcp.vertex.agent", "opentelemetry-genai", "ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS"),
        ("my.wrapper", "openinference", "OPENINFERENCE_HIDE_INPUTS"),
        ("aiohttp", "none", "gen_ai.input.messages"),
        ("opentelemetry.instrumentation.starlette", "none", "@qualitrace.trace"),
    ],
)
def test_the_remedy_is_that_of_the_library_that_recorded(scope: str, dialect: str, setting: str):
    """The library is known by its scope, even where several share a dialect; else by its dialect."""
    assert setting in remedy_for(Source("shop", scope, dialect), "input")
