"""Spans become traces: which are due, when, and what they carry."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.piece import SpanRecord
from qualitrace_collector.pipeline.assemble import Assembler
from support.otlp import LOCAL_PARENT, REMOTE_PARENT, span, trace_id


def records(*spans: Span) -> list[SpanRecord]:
    return [SpanRecord(item, Resource(), InstrumentationScope()) for item in spans]


def assembler(orphan_period: float = 120.0, max_open: float = 60.0, **limits: int) -> Assembler:
    return Assembler(
        quiet_period=2.0,
        orphan_period=orphan_period,
        max_open=max_open,
        max_trace_spans=limits.get("max_trace_spans", 1000),
        max_trace_size=limits.get("max_trace_size", 1 << 20),
    )


def test_a_trace_is_due_once_its_root_ended_and_the_quiet_period_passed():
    """Not a moment before the quiet period ends, and whole when it does."""
    traces = assembler()
    traces.add_spans(1, records(span(7, 2, parent=1)), now=100.0)
    traces.add_spans(2, records(span(7, 1)), now=101.0)
    assert traces.due(102.9) == []
    (piece,) = traces.due(103.0)
    assert piece.trace_id == trace_id(7)
    assert piece.root_seen
    assert {record.span.span_id[-1] for record in piece.spans} == {1, 2}
    assert piece.positions == {1, 2}
    assert traces.due(200.0) == []


def test_a_local_parent_that_is_still_running_is_waited_for():
    """Children whose parent is local but missing do not make a complete trace after the quiet period."""
    traces = assembler()
    traces.add_spans(1, records(span(7, 2, parent=1, flags=LOCAL_PARENT)), now=0.0)
    assert traces.due(30.0) == []
    traces.add_spans(2, records(span(7, 1)), now=31.0)
    (piece,) = traces.due(33.0)
    assert piece.root_seen


def test_a_local_parent_that_never_comes_is_given_up_after_the_orphan_period():
    """Each span of the trace puts that off, since its root may run; log records alone make no trace."""
    traces = assembler(orphan_period=30.0, max_open=600.0)
    traces.add_spans(1, records(span(7, 2, parent=1, flags=LOCAL_PARENT)), now=0.0)
    traces.add_logs(2, [LogRecord(trace_id=trace_id(8))], now=0.0)
    assert traces.due(29.0) == []
    traces.add_spans(3, records(span(7, 3, parent=1, flags=LOCAL_PARENT)), now=29.5)
    assert traces.due(59.0) == []
    (piece,) = traces.due(59.5)
    assert (piece.trace_id, piece.root_seen, piece.last_at) == (trace_id(7), True, 29.5)
    assert len(piece.spans) == 2
    assert not traces.holds(trace_id(7))
    assert traces.holds(trace_id(8))


def test_what_comes_of_a_trace_that_was_complete_waits_for_no_root():
    """Its root is stored: late spans below it are due after the quiet period, those of an unknown trace are not."""
    asked: list[bytes] = []

    def ended(trace_ids: Sequence[bytes]) -> set[bytes]:
        asked.extend(trace_ids)
        return {trace_id(7)}

    traces = Assembler(2.0, 120.0, 60.0, max_trace_spans=9, max_trace_size=1 << 20, ended=ended)
    late = [span(number, 2, parent=1, flags=LOCAL_PARENT) for number in (7, 8)]
    traces.add_spans(1, records(*late, span(9, 1)), now=0.0)
    pieces = traces.due(2.0)
    assert {piece.trace_id: piece.root_seen for piece in pieces} == {trace_id(9): True, trace_id(7): False}
    assert asked == [trace_id(7), trace_id(8)]
    assert traces.due(50.0) == []
    assert asked == [trace_id(7), trace_id(8)]


def test_a_trace_open_too_long_is_handed_on_unfinished():
    """After max_open the spans so far are due, without a root; the root makes a piece of its own later."""
    traces = assembler()
    traces.add_spans(1, records(span(7, 2, parent=1)), now=0.0)
    (piece,) = traces.due(60.0)
    assert not piece.root_seen
    traces.add_spans(2, records(span(7, 1)), now=70.0)
    (rest,) = traces.due(72.0)
    assert rest.root_seen
    assert rest.positions == {2}


def test_a_span_with_a_remote_parent_is_a_local_root():
    """A service called by another completes its part of the trace on its own."""
    traces = assembler()
    traces.add_spans(1, records(span(7, 2, parent=1, flags=REMOTE_PARENT)), now=0.0)
    (piece,) = traces.due(2.0)
    assert piece.root_seen


def test_a_missing_parent_of_unknown_kind_makes_a_local_root_after_the_quiet_period():
    """Clients without span flags do not say whether the parent is remote: then the quiet period decides."""
    traces = assembler()
    traces.add_spans(1, records(span(7, 2, parent=1, flags=0)), now=0.0)
    assert traces.due(1.9) == []
    assert traces.due(2.0)[0].root_seen


def test_a_resent_span_counts_once():
    """A client that repeats a request after a lost answer adds nothing to the trace."""
    traces = assembler()
    traces.add_spans(1, records(span(7, 1)), now=0.0)
    traces.add_spans(2, records(span(7, 1)), now=0.5)
    (piece,) = traces.due(10.0)
    assert len(piece.spans) == 1
    assert piece.positions == {1, 2}
    assert piece.conflicts == 0


def test_of_different_spans_with_one_id_the_first_is_kept():
    """A later span cannot take the place of an earlier one, and the piece says how many tried."""
    traces = assembler()
    traces.add_spans(1, records(span(7, 1, name="first")), now=0.0)
    traces.add_spans(2, records(span(7, 1, name="second"), span(7, 1, name="third")), now=0.5)
    (piece,) = traces.due(10.0)
    assert [record.span.name for record in piece.spans] == ["first"]
    assert piece.conflicts == 2
    assert piece.positions == {1, 2}


def test_the_oldest_traces_can_be_handed_on_to_make_room():
    """The older half is taken out unfinished."""
    traces = assembler()
    for number in range(1, 4):
        traces.add_spans(number, records(span(number, 2, parent=1)), now=float(number))
    assert traces.due(4.0) == []
    pieces = traces.evict()
    assert [piece.trace_id for piece in pieces] == [trace_id(1), trace_id(2)]
    assert [piece.root_seen for piece in pieces] == [False, False]
    assert traces.holds(trace_id(3))


def test_what_a_trace_has_too_much_is_left_out_and_counted():
    """Over all requests, by spans and by bytes; a span that is sent again is not too much, and other traces go on."""
    traces = assembler(max_trace_spans=2, max_trace_size=5000)
    first, second = span(7, 1), span(7, 2, parent=1)
    traces.add_spans(1, records(first, span(8, 1), span(8, 2, parent=1, text="x" * 5000)), now=0.0)
    traces.add_spans(2, records(second, span(7, 3, parent=1), span(8, 3, parent=1)), now=1.0)
    full = span(9, 2, parent=1)
    for _ in range(25):
        full.events.add()
    traces.add_spans(3, records(first, span(7, 4, parent=1), span(9, 1), full), now=2.0)
    pieces = {piece.trace_id: piece for piece in traces.due(10.0)}
    kept = {trace: [record.span.span_id[-1] for record in piece.spans] for trace, piece in pieces.items()}
    assert kept == {trace_id(7): [1, 2], trace_id(8): [1, 3], trace_id(9): [1]}
    assert {trace: piece.excess for trace, piece in pieces.items()} == {trace_id(7): 2, trace_id(8): 1, trace_id(9): 1}


def test_log_records_count_with_the_size_of_their_trace():
    """Else content could come without end as log records."""
    traces = assembler(max_trace_size=5000)
    for name in ("x" * 3000, "y" * 3000):
        traces.add_logs(1, [LogRecord(trace_id=trace_id(7), event_name=name)], now=0.0)
    traces.add_spans(2, records(span(7, 1)), now=0.0)
    (piece,) = traces.due(10.0)
    assert [record.event_name[0] for record in piece.logs] == ["x"]
    assert piece.excess == 1


def test_a_trace_taken_out_early_is_whole_if_its_root_is_there():
    """It would otherwise wait a day for a root that has come."""
    traces = assembler()
    traces.add_spans(1, records(span(7, 1)), now=0.0)
    (piece,) = traces.evict()
    assert piece.root_seen


def test_a_trace_that_is_never_quiet_is_handed_on_with_its_root():
    """Spans that keep coming for a minute do not hold the trace back, and it counts as whole."""
    traces = assembler()
    for second in range(61):
        traces.add_spans(second, records(span(7, second + 1, parent=min(second, 1))), now=float(second))
        pieces = traces.due(float(second))
    assert [piece.root_seen for piece in pieces] == [True]


def test_a_trace_waits_no_longer_because_the_clock_was_set_back():
    """By an hour, say: neither the traces of before nor those of after wait for the hour to pass again."""
    traces = assembler()
    traces.add_spans(1, records(span(7, 1)), now=4000.0)
    traces.add_spans(2, records(span(8, 1)), now=401.0)
    assert {piece.trace_id for piece in traces.due(403.0)} == {trace_id(7), trace_id(8)}


def test_when_stopping_a_complete_trace_needs_no_quiet_period():
    """At shutdown what is complete is handed on at once; what waits for its root stays."""
    traces = assembler()
    traces.add_spans(1, records(span(7, 1), span(8, 2, parent=1)), now=0.0)
    assert [piece.trace_id for piece in traces.due(0.0, stopping=True)] == [trace_id(7)]


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(0, 6), st.sampled_from([0, 0x100, 0x300])),
        max_size=40,
    ),
    st.lists(st.floats(0, 5), max_size=40),
)
def test_no_span_is_lost_and_none_comes_twice(arrivals: list[tuple[int, int, int, int]], gaps: list[float]):
    """Whatever the order and timing, each distinct span of a trace comes out in some piece after its arrival."""
    traces, now = assembler(), 0.0
    sent: set[tuple[bytes, bytes]] = set()
    received: list[tuple[bytes, bytes]] = []
    for position, (trace, number, parent, flags) in enumerate(arrivals):
        item = span(trace, number, parent, flags=flags)
        traces.add_spans(position, records(item), now)
        sent.add((item.trace_id, item.span_id))
        now += gaps[position] if position < len(gaps) else 0.1
        for piece in traces.due(now):
            received += [(record.span.trace_id, record.span.span_id) for record in piece.spans]
    for piece in traces.due(now + 1000):
        received += [(record.span.trace_id, record.span.span_id) for record in piece.spans]
    assert set(received) == sent
