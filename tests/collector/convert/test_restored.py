"""A span that was read back from MLflow converts to what is stored: nothing is lost or added on the way."""

from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from qualitrace_collector.convert import convert
from qualitrace_collector.convert.restored_span import restored
from support.mlflow_db import converted
from support.otlp import chat_span, rag_trace
from support.pieces import piece_of, pieces_in
from support.recordings import RECORDINGS


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_a_stored_span_that_is_written_again_changes_in_nothing_but_the_new_event(path: Path):
    """Every span of every recording gets a meaningless log record, with its whole trace stored earlier."""
    for piece in pieces_in(ExportTraceServiceRequest.FromString(path.read_bytes())):
        stored = convert(piece, "shop").spans
        ids = {span.span_id: bytes.fromhex(span.span_id) for span in stored}
        logs = tuple(LogRecord(span_id=span_id, event_name="note", time_unix_nano=1) for span_id in ids.values())
        empty = replace(piece, logs=logs, spans=())
        again = {span.span_id: span.to_dict() for span in convert(empty, "shop", stored).spans}
        assert again.keys() == ids.keys()
        for span in stored:
            renewed, expected = again[span.span_id], span.to_dict()
            assert renewed["events"][-1]["name"] == "note"
            del renewed["events"][-1]
            assert renewed == expected


def test_ids_and_times_come_back():
    """Against the spans as they were sent."""
    sent = rag_trace(1, question="Q?", answer="A.", passages=["P."], root_error="broken")
    stored = {span.span_id: span for span in converted(sent, "shop").spans}
    for span in sent:
        again = restored(stored[span.span_id.hex()])
        kept = ("traceId", "spanId", "parentSpanId", "name", "startTimeUnixNano", "endTimeUnixNano")
        one, other = MessageToDict(span), MessageToDict(again)
        assert {key: one.get(key) for key in kept} == {key: other.get(key) for key in kept}


def test_half_a_character_in_a_stored_span_does_not_refuse_what_comes_late():
    """JSON text of half a surrogate pair is stored without it; later spans of its trace are converted as ever."""
    sent = chat_span(1, 1, question="Q?", answer="A.", note='"a \\ud800"')
    stored = converted([sent], "shop").spans
    assert stored[0].attributes["note"] == "a ?"
    late = chat_span(1, 2, 1, question="Q?", answer="B.")
    assert convert(piece_of(late), "shop", stored).spans[0].span_id == late.span_id.hex()
    again = convert(piece_of(late, logs=(LogRecord(span_id=sent.span_id, event_name="x"),)), "shop", stored)
    assert again.spans[-1].attributes["note"] == stored[0].attributes["note"]
