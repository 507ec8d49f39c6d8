"""`qualitrace sample`: what the judges see of a stored trace, and of a request in a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.show.command import sample
from support.otlp import LOCAL_PARENT, REMOTE_PARENT, chat_span, rag_trace, request, span, trace_id
from support.otlp_json import to_otlp_json
from support.pipeline import Collector

EARLIER = [
    {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
    {"role": "assistant", "parts": [{"type": "text", "content": "Hello"}]},
    {"role": "user", "parts": [{"type": "text", "content": "When?"}]},
]


def turn(number: int) -> list[Span]:
    """An HTTP request whose model call has a conversation, a session and a tool beside it."""
    messages = {"gen_ai__input__messages": json.dumps(EARLIER), "session__id": "s1", "user__id": "u1"}
    tool = {"openinference__span__kind": "TOOL", "tool__name": "clock", "input__value": "UTC", "output__value": "noon"}
    return [
        span(number, 1, name="POST /ask", http__request__method="POST"),
        span(number, 2, 1, name="clock", **tool),
        chat_span(number, 3, 1, question="When?", answer="At noon.", **messages),
    ]


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Result]:
    """Run the command on the test's folder, with a configuration of further keys."""

    def run(*options: str, stdin: str | None = None, **config: Any) -> Result:
        path = tmp_path / "q.yaml"
        path.write_text(yaml.safe_dump({"data_dir": str(tmp_path), **config}))
        return CliRunner().invoke(sample, ["--config", str(path), *options], input=stdin)

    return run


def hex_id(number: int) -> str:
    return trace_id(number).hex()


def test_a_stored_trace_is_shown_as_the_judges_see_it(make: Callable[..., Collector], ask: Callable[..., Result]):
    """Question, answer, conversation, tools, whose it is and what it spent, by the id of either form."""
    collector = make()
    collector.send(turn(1))
    collector.run()
    (judged,) = [task.sample for task in collector.tasks() if task.judge == "relevance"]
    for given in (hex_id(1), f"tr-{hex_id(1)}".upper().replace("TR-", "tr-")):
        shown = json.loads(ask("--json", given).output)
        assert (shown["inputs"], shown["outputs"], shown["passages"]) == ("When?", "At noon.", list(judged.passages))
        assert shown["passages_source"] == judged.passages_source == "tool"
        assert shown["conversation"] == [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
        ]
        assert shown["tool_calls"] == [{"name": "clock", "arguments": "UTC", "result": "noon"}]
        assert (shown["session"], shown["user"], shown["model"]) == ("s1", "u1", "gpt-4o-mini")
        assert shown["tokens"] == {"input": 14, "output": 8}
        assert shown["complete"] is True
        assert shown["service"] == "shop"


def test_each_part_names_the_span_and_the_field_that_it_comes_from(
    make: Callable[..., Collector], ask: Callable[..., Result]
):
    """The question that the HTTP root shows is the model call's, in the client's own attribute."""
    collector = make()
    collector.send(turn(1))
    collector.run()
    sources = json.loads(ask("--json", hex_id(1)).output)["sources"]
    call = f"{3:016x}"
    assert sources["inputs"] == {"span_id": call, "span": "chat gpt-4o-mini", "field": "gen_ai.input.messages"}
    assert sources["outputs"] == {"span_id": call, "span": "chat gpt-4o-mini", "field": "gen_ai.output.messages"}
    assert sources["session"] == {"span_id": call, "span": "chat gpt-4o-mini", "field": "session.id"}
    assert [place["span"] for place in sources["passages"]] == ["clock"]
    assert [place["span_id"] for place in sources["tokens"]] == [call]


def test_the_text_form_shows_the_same(make: Callable[..., Collector], ask: Callable[..., Result]):
    """For people: each part with its origin behind it."""
    judges = ["groundedness", {"name": "toxicity", "rate": 0.0}, {"name": "safety", "match": {"service": "bank"}}]
    collector = make(judges=judges)
    collector.send(rag_trace(1, question="Q?", answer="A.", passages=["One.", "Two."]))
    collector.run()
    output = ask(hex_id(1), judges=judges).output
    assert "inputs: Q?  [chat gpt-4o-mini 0000000000000003, gen_ai.input.messages]" in output
    assert "passage 2 (retriever): Two.  [retrieve 0000000000000002, outputs]" in output
    assert "complete: yes\njudges: groundedness queued, toxicity sampled_out, safety not_matched\n" in output


def test_a_trace_that_is_open_did_not_go_to_the_judges(make: Callable[..., Collector], ask: Callable[..., Result]):
    """It is stored after a minute, and its root is still to come."""
    collector = make(assembly={"max_open": 5})
    collector.send([chat_span(1, 2, 1, question="Q?", answer="A.", flags=LOCAL_PARENT)])
    collector.run(20)
    assert json.loads(ask("--json", hex_id(1)).output)["complete"] is False


def test_a_request_in_a_file_needs_no_server(tmp_path: Path, ask: Callable[..., Result]):
    """One line of JSON for each trace in it, redacted as the server would."""
    path = tmp_path / "request.json"
    path.write_bytes(to_otlp_json(request([*turn(1), *rag_trace(2, question="Q?", answer="A.", passages=["P."])])))
    first, second = (json.loads(line) for line in ask("--json", "--file", str(path)).output.splitlines())
    assert (first["trace_id"], first["outputs"]) == (f"tr-{hex_id(1)}", "At noon.")
    assert (second["trace_id"], second["passages"]) == (f"tr-{hex_id(2)}", ["P."])


def otlp_json(spans: list[Span]) -> str:
    return to_otlp_json(request(spans)).decode()


def test_requests_may_stand_one_a_line(tmp_path: Path, ask: Callable[..., Result]):
    """As file exporters write them; a trace that two of them hold is put together, from stdin too."""
    root, *others = turn(1)
    lines = f"{otlp_json(others)}\n{otlp_json([root])}\n"
    (tmp_path / "traces.jsonl").write_text(lines)
    for result in (ask("--json", "--file", str(tmp_path / "traces.jsonl")), ask("--json", "--file", "-", stdin=lines)):
        (shown,) = (json.loads(line) for line in result.output.splitlines())
        assert (shown["inputs"], shown["sources"]["inputs"]["span_id"]) == ("When?", f"{3:016x}")


def test_what_is_rejected_is_reported(tmp_path: Path, ask: Callable[..., Result]):
    """The other spans are shown, and stderr says which rule the rejected one broke."""
    path = tmp_path / "request.json"
    path.write_text(otlp_json(turn(1)).replace(f"{2:016x}", "zz", 1))
    result = ask("--json", "--file", str(path))
    assert json.loads(result.stdout)["outputs"] == "At noon."
    assert "1 rejected: span_id must be 8 bytes" in result.stderr


def test_what_people_wrote_does_not_steer_the_terminal(tmp_path: Path, ask: Callable[..., Result]):
    """Control characters are shown as such."""
    path = tmp_path / "request.json"
    path.write_text(otlp_json([chat_span(1, 1, question="Q\x1b[31m?", answer="A.\r\x07")]))
    output = ask("--file", str(path)).output
    assert "Q\ufffd[31m?" in output
    assert not set("\x1b\r\x07") & set(output)


def test_a_content_is_followed_to_the_span_that_recorded_it(make: Callable[..., Collector], ask: Callable[..., Result]):
    """Also over a root that came late, and shows what an earlier local root showed."""
    collector = make()
    collector.send([span(1, 2, 1, name="POST", flags=REMOTE_PARENT), chat_span(1, 3, 2, question="Q?", answer="A.")])
    collector.run()
    collector.send([span(1, 1, name="gateway")])
    collector.run()
    shown = json.loads(ask("--json", hex_id(1)).output)
    assert shown["sources"]["inputs"]["span_id"] == shown["sources"]["outputs"]["span_id"] == f"{3:016x}"


def test_a_failure_is_shown(make: Callable[..., Collector], ask: Callable[..., Result]):
    """An answer that is missing has its reason beside it."""
    collector = make()
    collector.send([span(1, 1, gen_ai__operation__name="chat", gen_ai__request__model="m", error="rate limit")])
    collector.run()
    assert "error: rate limit\n" in ask(hex_id(1)).output


def test_a_wrong_folder_gets_no_database(tmp_path: Path, ask: Callable[..., Result]):
    """MLflow would make an empty one where the file is missing."""
    result = ask(hex_id(1))
    assert "mlflow.db: no such file; name the server's own configuration" in result.output
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "give either a TRACE_ID or --file"),
        (("xyz",), "'xyz' is no trace id: 32 hex digits are needed"),
        (("0" * 31 + "9",), "no trace tr-00000000000000000000000000000009 in sqlite:///"),
        (("--file", "{folder}/none.json"), "none.json"),
        (("--file", "{folder}/broken.json"), "broken.json: body is no ExportTraceServiceRequest in JSON"),
        (("--file", "{folder}/empty.json"), "empty.json: holds no span of an OTLP/JSON request"),
    ],
)
def test_a_mistake_is_named_with_its_place(
    make: Callable[..., Collector], ask: Callable[..., Result], tmp_path: Path, options: tuple[str, ...], says: str
):
    """No trace id, an unknown one, and files that are not a request: an error, and exit code 1 or 2."""
    make()
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "empty.json").write_text("{}")
    result = ask(*(option.format(folder=tmp_path) for option in options))
    assert result.exit_code in (1, 2)
    assert says in result.output
