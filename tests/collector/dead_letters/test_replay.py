"""Dead letters: kept once, shown as OTLP, replayed or dropped from the command line."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from qualitrace_collector.dead_letters.command import journal as journal_command
from qualitrace_collector.dead_letters.replay import otlp_json, replay
from qualitrace_collector.journal import SqliteJournal
from qualitrace_collector.piece import Piece, SpanRecord, requests_of
from qualitrace_collector.receive.decode import decode_json
from qualitrace_collector.receive.signals import SIGNALS
from qualitrace_collector.state import Database, DeadLetter, DeadLetters, Ledger, TraceRecord
from support.otlp import rag_trace, request, span_id, trace_id

AT = 1_700_000_000.0
SPANS = request(rag_trace(1, question="Q?", answer="A.", passages=["P."])).SerializeToString()


def log_payload() -> bytes:
    message = ExportLogsServiceRequest()
    record = LogRecord(trace_id=trace_id(1), span_id=span_id(3), event_name="gen_ai.user.message")
    message.resource_logs.add().scope_logs.add(log_records=[record])
    return message.SerializeToString()


def letter(number: int = 1, **values: Any) -> DeadLetter:
    fields = {"service": "shop", "error": "too odd", "traces": SPANS, "recorded_at": AT}
    return DeadLetter(trace_id="tr-" + trace_id(number).hex(), **(fields | values))


class Box:
    """A data_dir with dead letters in it, and the command line on it."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(folder / "data" / "state.db")
        self.letters = DeadLetters(self.database)
        self.journal = SqliteJournal(folder / "data" / "journal.db", 1 << 20)
        self.config = folder / "qualitrace.yaml"
        self.config.write_text(json.dumps({"data_dir": str(folder / "data")}))

    def put(self, *letters: DeadLetter) -> None:
        with self.database.transaction() as connection:
            for item in letters:
                DeadLetters.put(connection, item)

    def run(self, command: str, *arguments: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(journal_command, [command, "--config", str(self.config), *arguments], input=answer)

    def payloads(self) -> list[tuple[str, bytes]]:
        return [(entry.signal, entry.payload) for entry in self.journal.read(0, 100, 1 << 20)]


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_giving_up_the_same_again_makes_no_second_letter(box: Box):
    """A crash before the journal is settled repeats the letter; a later piece of the trace is one of its own."""
    box.put(letter(), letter(recorded_at=AT + 1), letter(traces=b"", logs=log_payload()))
    assert box.letters.count() == 2


def test_a_piece_goes_back_into_the_requests_it_came_from():
    """Spans keep their resource and scope, and log records come along."""
    (group,) = type(request([])).FromString(SPANS).resource_spans
    scope = group.scope_spans[0].scope
    records = tuple(SpanRecord(span, group.resource, scope) for span in group.scope_spans[0].spans)
    log = LogRecord(trace_id=trace_id(1), span_id=span_id(3), event_name="gen_ai.user.message")
    piece = Piece(trace_id=trace_id(1), spans=records, logs=(log,), root_seen=True, positions=frozenset({1}))
    traces, logs = requests_of(piece)
    assert [
        SpanRecord(span, one.resource, part.scope)
        for one in traces.resource_spans
        for part in one.scope_spans
        for span in part.spans
    ] == list(records)
    assert logs.SerializeToString() == log_payload()


def test_a_letter_reads_back_whole(box: Box):
    """Nothing of what was given up is lost in the table."""
    kept = letter(logs=log_payload())
    box.put(kept)
    assert box.letters.get(kept.letter_id) == kept


def test_list_is_for_people_and_for_programs(box: Box):
    """One line each: id, time, trace, service, size and error; or JSON."""
    first, second = letter(), letter(2, error="odd\nand more", recorded_at=AT + 60)
    box.put(second, first)
    lines = box.run("list").output.splitlines()
    assert [line.split()[0] for line in lines] == [first.letter_id, second.letter_id]
    assert "2023-11-14T22:13:20+00:00" in lines[0]
    assert lines[1].endswith(f"{second.trace_id}  shop  {len(SPANS)} bytes  odd")
    (shown, _) = map(json.loads, box.run("list", "--json").output.splitlines())
    assert shown["trace_id"] == first.trace_id
    assert shown["size"] == len(SPANS)


def test_show_gives_the_spans_as_otlp_json(box: Box):
    """The spans can be sent again by hand: our own JSON door reads the same request from them."""
    kept = letter(logs=log_payload())
    box.put(kept)
    shown = json.loads(box.run("show", kept.letter_id).output)
    assert shown["error"] == "too odd"
    assert shown["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] == trace_id(1).hex()
    for signal in SIGNALS:
        again = decode_json(signal, json.dumps(shown).encode()).message.SerializeToString()
        assert again == {"traces": kept.traces, "logs": kept.logs}[signal.name]


def test_text_that_looks_like_an_id_stays_as_it_is():
    """Only OTLP's own id fields are rewritten, whatever the attributes are called."""
    spans = rag_trace(1, question="Q?", answer="A.", passages=[])
    spans[0].attributes.add(key="traceId").value.string_value = base64.b64encode(b"x").decode()
    shown = otlp_json(letter(traces=request(spans).SerializeToString()))
    attributes = shown["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"]
    assert {"key": "traceId", "value": {"stringValue": "eA=="}} in attributes


def test_replay_puts_the_payload_back_and_takes_the_letter_out(box: Box):
    """Both signals go into the journal in one commit, and no letter is left."""
    kept, other = letter(logs=log_payload()), letter(2)
    box.put(kept, other)
    assert box.run("replay", kept.letter_id).output == "1 put back into the journal\n"
    assert box.payloads() == [("logs", kept.logs), ("traces", kept.traces)]
    assert [item["id"] for item in box.letters.summaries()] == [other.letter_id]


def test_a_crash_during_a_replay_loses_no_letter(box: Box, monkeypatch: pytest.MonkeyPatch):
    """What is not in the journal yet is still a letter."""
    kept = letter()
    box.put(kept)

    def crash(*_: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(SqliteJournal, "append", crash)
    with pytest.raises(SystemExit):
        replay([kept], box.letters, box.journal)
    assert box.letters.get(kept.letter_id) == kept


def test_a_letter_that_came_back_during_its_replay_stays(box: Box):
    """Given up again before the old one was removed: the new one is not thrown away with it."""
    old = letter()
    box.put(old, letter(recorded_at=AT + 5))
    box.letters.remove([old])
    assert box.letters.count() == 1


def test_a_full_journal_keeps_the_letters(box: Box):
    """The command fails, says why, and nothing is lost."""
    box.config.write_text(json.dumps(json.loads(box.config.read_text()) | {"journal": {"max_size": 10}}))
    box.put(letter())
    result = box.run("replay", "--all")
    assert result.exit_code == 1
    assert "journal.max_size" in result.output
    assert box.letters.count() == 1


def test_what_cannot_be_decoded_is_not_replayed(box: Box):
    """It would only come back; `--all` leaves it and says so, and `show` has its bytes."""
    undecodable = DeadLetter(
        trace_id="request-7", service="unknown_service", error="e", traces=b"\xff\xff", recorded_at=AT
    )
    box.put(undecodable, letter())
    assert box.run("replay", undecodable.letter_id).exit_code == 1
    assert f"1 left, because they cannot be decoded: {undecodable.letter_id}" in box.run("replay", "--all").output
    assert json.loads(box.run("show", undecodable.letter_id).output)["payload"] == "ffff"
    assert [item["id"] for item in box.letters.summaries()] == [undecodable.letter_id]


def test_drop_asks_before_it_deletes(box: Box):
    """`n` keeps everything, `--yes` does not ask, and the ledger still counts the trace."""
    kept = letter()
    with box.database.transaction() as connection:
        Ledger.record_traces(connection, [TraceRecord(kept.trace_id, "shop", "dead_lettered", False)], AT)
    box.put(kept)
    assert box.run("drop", "--all", answer="n\n").exit_code == 1
    assert box.letters.count() == 1
    assert box.run("drop", "--yes", kept.letter_id).output == "1 deleted\n"
    assert box.letters.count() == 0
    assert [row["outcome"] for row in Ledger(box.database).totals()] == ["dead_lettered"]
    assert not box.payloads()


@pytest.mark.parametrize("command", ["replay", "drop"])
def test_mistakes_are_told(box: Box, command: str):
    """Neither IDs nor --all, both, or an unknown ID."""
    for arguments in ([], ["--all", "abc"]):
        result = box.run(command, *arguments)
        assert (result.exit_code, "give either IDs or --all" in result.output) == (2, True)
    result = box.run(command, "abc")
    assert (result.exit_code, "no dead letter abc; 'qualitrace journal list' lists them" in result.output) == (1, True)


def test_a_missing_database_is_named_and_not_made(tmp_path: Path):
    """The wrong data_dir is a mistake, not an empty list."""
    config = tmp_path / "qualitrace.yaml"
    config.write_text(json.dumps({"data_dir": str(tmp_path / "nowhere")}))
    result = CliRunner().invoke(journal_command, ["list", "--config", str(config)])
    assert result.exit_code == 1
    assert str(tmp_path / "nowhere" / "state.db") in result.output
    assert not (tmp_path / "nowhere").exists()


def test_a_trace_that_may_be_replayed_is_not_forgotten(box: Box):
    """Its row in the ledger stays, so that a replay moves its outcome instead of counting it twice."""
    kept = letter()
    with box.database.transaction() as connection:
        for trace in (kept.trace_id, "tr-other"):
            Ledger.record_traces(connection, [TraceRecord(trace, "shop", "dead_lettered", False)], AT)
        DeadLetters.put(connection, kept)
        Ledger.prune(connection, older_than=AT + 1)
    assert set(Ledger(box.database).known_traces([kept.trace_id, "tr-other"])) == {kept.trace_id}
