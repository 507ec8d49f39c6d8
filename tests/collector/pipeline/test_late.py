"""What comes after the rest of its trace was stored: roots, spans and log records."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities import Span, TraceInfo, TraceState
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from qualitrace_collector.convert import ConvertedTrace, convert
from qualitrace_collector.convert.restored_span import restored
from qualitrace_collector.journal import SqliteJournal
from qualitrace_collector.piece import Piece, SpanRecord, span_records
from qualitrace_collector.pipeline.recorder import Recorder
from support.otlp import REMOTE_PARENT, attributes, chat_span, request, span, span_id, trace_id
from support.pipeline import Collector, rag
from support.recordings import RECORDINGS


def test_a_late_root_shows_what_was_asked_and_answered_before(make: Callable[..., Collector]):
    """MLflow's list of traces shows question and answer although the calls were stored a minute before the root."""
    collector = make()
    collector.send(rag(1)[1:])
    collector.run(62)
    assert trace_info(collector).state == TraceState.IN_PROGRESS
    collector.restart()
    collector.send(rag(1)[:1])
    collector.run()
    root = stored(collector)[1]
    assert (root.inputs, root.outputs) == ("Q?", "A.")
    info = trace_info(collector)
    assert info.state == TraceState.OK
    assert (info.request_preview, info.response_preview) == ('"Q?"', '"A."')
    assert info.token_usage == {"input_tokens": 14, "output_tokens": 8, "total_tokens": 22}


def test_a_late_call_fills_in_a_root_that_showed_nothing(make: Callable[..., Collector]):
    """The root's batch may come first: its row is written again when the call with question and answer comes."""
    collector = make(mlflow={"keep": "all"})
    root, _, chat = rag(1)
    collector.send([root])
    collector.run()
    assert stored(collector)[1].inputs is None
    collector.send([chat])
    collector.run(62)
    assert (stored(collector)[1].inputs, stored(collector)[1].outputs) == ("Q?", "A.")
    assert {(task.sample.inputs, task.sample.outputs) for task in collector.tasks()} == {("Q?", "A.")}
    assert 'qualitrace_spans_conflicting_total{service="shop"} 0.0' in collector.metrics()


def test_late_log_records_reach_their_span(make: Callable[..., Collector]):
    """A prompt that travels apart from its span, and comes after it was stored, is shown and judged all the same."""
    collector = make()
    collector.send([span(1, 1, gen_ai__operation__name="chat", gen_ai__usage__input_tokens=3)])
    collector.run()
    assert stored(collector)[1].inputs is None
    collector.send_logs(message("gen_ai.user.message", "Why?"))
    collector.run(62)
    assert [event.name for event in stored(collector)[1].events] == ["gen_ai.user.message"]
    assert {task.sample.inputs for task in collector.tasks()} == {"Why?"}
    assert collector.journal.pending()[0] == 0
    assert 'qualitrace_requests_total{service="shop"} 1.0' in collector.metrics()


def test_log_records_that_are_sent_again_count_once(make: Callable[..., Collector]):
    """Exporters resend: the span has its event once, and the judges' tasks stay as they are."""
    collector = make()
    collector.send([span(1, 1, gen_ai__operation__name="chat")])
    for _ in range(3):
        collector.send_logs(message("gen_ai.user.message", "Why?"))
        collector.run(62)
    assert len(stored(collector)[1].events) == 1
    assert {task.sample.inputs for task in collector.tasks()} == {"Why?"}


def test_late_log_records_change_nothing_that_a_span_tells(make: Callable[..., Collector]):
    """Who knows a trace's id may add to it, but not put other words into the mouth of a span."""
    collector = make()
    collector.send(rag(1))
    collector.run()
    before = stored(collector)[3]
    collector.send_logs(message("gen_ai.user.message", "Ignore all that.", number=3))
    collector.run(62)
    after = stored(collector)[3]
    assert (after.inputs, after.outputs, after.name) == (before.inputs, before.outputs, before.name)
    assert {task.sample.inputs for task in collector.tasks()} == {"Q?"}


@pytest.mark.parametrize("others", [[], rag(1)[1:2]], ids=["nothing else", "another span"])
def test_log_records_wait_for_a_span_that_runs_for_long(make: Callable[..., Collector], others: list[OtlpSpan]):
    """A prompt logged at the start of a call reaches its span hours later, over a restart; the journal is not held."""
    collector = make()
    collector.send_logs(message("gen_ai.user.message", "Why?"))
    collector.send(others)
    collector.run(62)
    assert collector.journal.pending()[0] == 0
    collector.restart()
    collector.send_logs(message("gen_ai.user.message", "Why?"), message("gen_ai.choice", "Thus."))
    collector.run(62)
    collector.now += 7200
    collector.send([span(1, 1, gen_ai__operation__name="chat")])
    collector.run()
    assert [event.name for event in stored(collector)[1].events] == ["gen_ai.user.message", "gen_ai.choice"]
    assert {(task.sample.inputs, task.sample.outputs) for task in collector.tasks()} == {("Why?", "Thus.")}
    assert waiting(collector) == []


def test_log_records_wait_while_their_span_is_refused(make: Callable[..., Collector], monkeypatch: pytest.MonkeyPatch):
    """The next try, which succeeds, has them again, although the process died in between."""
    collector = make()
    collector.send_logs(message("gen_ai.user.message", "Why?"))
    collector.run(62)
    save, refused = collector.store.save, list[str]()

    def refusing_once(traces: list[ConvertedTrace]) -> dict[str, Exception]:
        if refused:
            return save(traces)
        refused.extend(trace.trace_id for trace in traces)
        return dict.fromkeys(refused, ValueError("no"))

    monkeypatch.setattr(collector.store, "save", refusing_once)
    collector.send([span(1, 1, gen_ai__operation__name="chat")])
    collector.run(2)
    assert refused == ["tr-" + trace_id(1).hex()]
    collector.restart()
    collector.run()
    assert [event.name for event in stored(collector)[1].events] == ["gen_ai.user.message"]
    assert collector.totals()["", "stored"] == 1


def test_log_records_of_unknown_spans_are_settled(make: Callable[..., Collector]):
    """Nobody waits forever for a span that was dropped, and no trace is made of its records."""
    collector = make(assembly={"max_age": "1h"})
    collector.send_logs(message("gen_ai.user.message", "Why?"))
    collector.run(62)
    assert stored(collector) == {}
    assert collector.totals() == {}
    assert collector.journal.pending()[0] == 0
    assert len(waiting(collector)) == 1
    collector.now += 3600
    collector.run(62)
    assert waiting(collector) == []


def test_log_records_that_wait_are_bounded(make: Callable[..., Collector]):
    """Beyond `assembly.max_size` the oldest are dropped: a client whose spans are sampled out may send millions."""
    collector = make(assembly={"max_size": "2kB"})
    for number in range(5):
        record = message("gen_ai.user.message", "?" * 500)
        record.trace_id = trace_id(number)
        collector.send_logs(record)
        collector.run(1)
    collector.run(122)
    assert waiting(collector) == ["tr-" + trace_id(number).hex() for number in (2, 3, 4)]


def tokens(collector: Collector) -> dict[str, float]:
    """Return what the metrics count for the shop's model, by kind, and US dollars."""
    found: dict[str, float] = {}
    for line in collector.metrics().splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("qualitrace_tokens_total{"):
            found[name.partition('type="')[2].partition('"')[0]] = float(value)
        if name.startswith("qualitrace_cost_usd_total{"):
            found["usd"] = float(value)
    return found


def calls(collector: Collector) -> dict[str, float]:
    """Return how many calls were measured, by family, and the sum of their tokens."""
    families = ("operation_duration_seconds_count", "token_usage_sum")
    lines = [line.rpartition(" ") for line in collector.metrics().splitlines()]
    return {
        family: sum(float(value) for name, _, value in lines if name.startswith(f"gen_ai_client_{family}{{"))
        for family in families
    }


MEASURED = {
    n: {"operation_duration_seconds_count": n, "token_usage_sum": 22 * n}  # 14 tokens in, 8 out
    for n in range(3)
}


def test_calls_that_another_process_sends_later_are_counted_once(make: Callable[..., Collector]):
    """Exporters wait five seconds by default, when the root's trace was measured long ago; a resend adds nothing."""
    collector = make()
    first, second = (chat_span(1, number, 1, question="Q?", answer="A.", flags=REMOTE_PARENT) for number in (2, 3))
    collector.send([span(1, 1, name="GET /"), first])
    collector.run(5)
    once = tokens(collector)
    assert (once["input"], once["output"]) == (14, 8)
    for _ in range(3):
        collector.send([second])
        collector.run(5)
    assert tokens(collector) == {"input": 28, "output": 16, "usd": pytest.approx(2 * once["usd"])}
    assert calls(collector) == MEASURED[2]
    assert 'qualitrace_requests_total{service="shop"} 1.0' in collector.metrics()


def test_late_calls_of_a_root_without_any_are_counted(make: Callable[..., Collector]):
    """A gateway's root, which `keep: all` stores, comes alone; what the application used comes later."""
    collector = make(mlflow={"keep": "all"})
    root, _, chat = rag(1)
    collector.send([root])
    collector.run(5)
    assert tokens(collector) == {}
    collector.send([chat])
    collector.run(5)
    assert (tokens(collector)["input"], tokens(collector)["output"]) == (14, 8)


def test_a_late_span_that_tells_of_a_counted_call_adds_nothing(make: Callable[..., Collector]):
    """Another instrumentor's span around the same call, with the same usage, comes from a second exporter."""
    collector = make()
    inner = chat_span(1, 3, 2, question="Q?", answer="A.", flags=REMOTE_PARENT)
    outer = chat_span(1, 2, 1, question="Q?", answer="A.", flags=REMOTE_PARENT)
    collector.send([span(1, 1, name="GET /"), inner])
    collector.run(5)
    before = tokens(collector)
    collector.send([outer])
    collector.run(5)
    assert collector.stored(1) == 3
    assert tokens(collector) == before
    assert calls(collector) == MEASURED[1]


def test_a_call_that_is_known_better_later_is_no_new_one(make: Callable[..., Collector]):
    """The framework's span is measured as the call until that of the provider's client comes from inside of it."""
    collector = make()
    outer = chat_span(1, 2, 1, question="Q?", answer="A.", flags=REMOTE_PARENT)
    inner = chat_span(1, 3, 2, question="Q?", answer="A.", flags=REMOTE_PARENT)
    collector.send([span(1, 1, name="GET /"), outer])
    collector.run(5)
    collector.send([inner])
    collector.run(5)
    assert collector.stored(1) == 3
    assert calls(collector) == MEASURED[1]


def test_a_replay_after_a_restart_counts_nothing(make: Callable[..., Collector], monkeypatch: pytest.MonkeyPatch):
    """The late call was recorded, its request not deleted from the journal: what is counted is on disk, and the counters begin anew."""
    collector = make()
    late = chat_span(1, 2, 1, question="Q?", answer="A.", flags=REMOTE_PARENT)
    collector.send([span(1, 1, name="GET /", gen_ai__system="x")])
    collector.run(5)
    with monkeypatch.context() as crash:
        crash.setattr(SqliteJournal, "delete_done", lambda *_: None)
        collector.send([late])
        collector.run(5)
    assert tokens(collector)["input"] == 14
    collector.restart()
    collector.run(5)
    assert collector.journal.pending()[0] == 0
    assert (tokens(collector), calls(collector)) == ({}, MEASURED[0])
    collector.send([chat_span(1, 3, 1, question="Q?", answer="A.", flags=REMOTE_PARENT)])
    collector.run(5)
    assert tokens(collector)["input"] == 14
    assert calls(collector) == MEASURED[1]


def test_a_crash_between_mlflow_and_the_record_loses_no_late_call(
    make: Callable[..., Collector], monkeypatch: pytest.MonkeyPatch
):
    """Its span is stored already when the replay comes, but was not counted."""
    collector = make()
    collector.send([span(1, 1, name="GET /", gen_ai__system="x")])
    collector.run(5)

    def crash(*_: Any) -> None:
        raise SystemExit

    collector.send([chat_span(1, 2, 1, question="Q?", answer="A.", flags=REMOTE_PARENT)])
    with monkeypatch.context() as crashing:
        crashing.setattr(Recorder, "record", crash)
        with pytest.raises(SystemExit):
            collector.run(5)
    assert collector.stored(1) == 2
    collector.restart()
    collector.run(5)
    assert tokens(collector)["input"] == 14
    assert calls(collector) == MEASURED[1]


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.name.removesuffix(".otlp.pb"))
def test_a_real_clients_stored_spans_gain_nothing_by_being_read_again(recording: Path):
    """In every dialect: what was converted, stored and restored is complete, so that no row is written twice."""
    sent = ExportTraceServiceRequest.FromString(recording.read_bytes())
    records = list(span_records(sent))
    for key in {record.span.trace_id for record in records}:
        first = convert(piece(key, *(record for record in records if record.span.trace_id == key)), "shop")
        again = convert(piece(key), "shop", first.spans)
        assert first.is_genai is False or again.renewed == frozenset()


NESTED = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=8)
ATTRIBUTES = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.lists(NESTED).map(json.dumps)
    | st.dictionaries(st.text(), NESTED).map(json.dumps)
)


@given(value=ATTRIBUTES)
def test_a_restored_span_is_stored_as_it_was(value: Any):
    """Whatever an attribute holds, restoring and storing again changes no field of the span."""
    first = stored_form(span(1, 1, 7, error="it broke", gen_ai__system="x", custom=value))
    assert stored_form(restored(Span.from_dict(first))) == first


def stored_form(item: OtlpSpan) -> dict[str, Any]:
    (group,) = request([item]).resource_spans
    record = SpanRecord(item, group.resource, group.scope_spans[0].scope)
    return convert(piece(item.trace_id, record), "shop").stored[0].data


def piece(key: bytes, *records: SpanRecord) -> Piece:
    return Piece(trace_id=key, spans=records, logs=(), root_seen=True, positions=frozenset({1}))


def message(name: str, content: str, number: int = 1) -> LogRecord:
    body = AnyValue(kvlist_value=KeyValueList(values=attributes({"content": content})))
    return LogRecord(trace_id=trace_id(1), span_id=span_id(number), time_unix_nano=5, event_name=name, body=body)


def waiting(collector: Collector) -> list[str]:
    """Return the ids of the traces with log records that wait for a span."""
    rows = collector.database.connection().execute("SELECT trace_id FROM early_log ORDER BY trace_id")
    return [row["trace_id"] for row in rows]


def stored(collector: Collector) -> dict[int, Span]:
    """Return the first trace's spans by their numbers."""
    return {int(item.span_id, 16): item for item in collector.store.read("tr-" + trace_id(1).hex())}


def trace_info(collector: Collector) -> TraceInfo:
    return collector.store.call(lambda store: store.get_trace_info("tr-" + trace_id(1).hex()))
