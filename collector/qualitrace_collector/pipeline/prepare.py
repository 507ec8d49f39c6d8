"""One batch of due pieces, made ready to be stored: converted, without what is stored already, looked through.

Needs no database: what is known of the traces is in the plan.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mlflow.entities import Span

from qualitrace_collector.convert import ConvertedTrace, convert_all
from qualitrace_collector.convert.mlflow_span import AnySpan
from qualitrace_collector.doctor.coverage import coverage_of
from qualitrace_collector.piece import Piece
from qualitrace_collector.pipeline.recorder import CompleteTrace
from qualitrace_collector.pipeline.resends import log_conflicts, without_stored
from qualitrace_collector.state import TraceRecord
from qualitrace_collector.state.coverage import Coverage

Failure = tuple[Piece, str, Exception]
"""A piece that could not be converted or stored, its service, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is needed to prepare a batch.

    Attributes:
        pieces: at most one of each trace, each with the service that it counts under.
        known: of those traces that have an outcome already, by MLflow's trace id.
        earlier: the stored spans of these.
        keep_all: keep traces without any GenAI span, too.
    """

    pieces: Sequence[tuple[Piece, str]]
    known: Mapping[str, TraceRecord]
    earlier: Mapping[str, Sequence[Span]]
    keep_all: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A batch that is ready to be stored.

    Attributes:
        wanted: what is to be stored, without the spans that are stored already.
        complete: those of `wanted` that will be whole then.
        coverage: what each of `wanted` has of what it should have, by trace id.
        conflicting: spans left out because another one has their ids, by service.
    """

    wanted: Sequence[ConvertedTrace]
    not_genai: Sequence[ConvertedTrace]
    complete: Sequence[CompleteTrace]
    coverage: Mapping[str, Coverage]
    conflicting: Mapping[str, int]
    failures: Sequence[Failure]


def prepare(plan: Plan) -> Prepared:
    """Convert the pieces of a batch and tell what becomes of each."""
    converted, failures = convert_all(plan.pieces, plan.earlier)
    kept = [trace for trace in converted if _is_kept(trace, plan)]
    rest, conflicting = _first_come(kept, plan.earlier)
    spans = {trace.trace_id: _all_spans(trace, plan) for trace in rest}
    wanted = [_with_whole(trace, spans[trace.trace_id], plan) for trace in rest]
    return Prepared(
        wanted=wanted,
        not_genai=[trace for trace in converted if not _is_kept(trace, plan)],
        complete=[_complete(trace, plan) for trace in wanted if trace.whole],
        coverage={trace.trace_id: coverage_of(trace, spans[trace.trace_id]) for trace in wanted},
        conflicting=conflicting,
        failures=failures,
    )


def _is_kept(trace: ConvertedTrace, plan: Plan) -> bool:
    known = plan.known.get(trace.trace_id)
    return trace.is_genai or plan.keep_all or (known is not None and known.outcome == "stored")


def _first_come(
    traces: Sequence[ConvertedTrace], earlier: Mapping[str, Sequence[Span]]
) -> tuple[list[ConvertedTrace], Counter[str]]:
    """Leave out spans that would overwrite stored ones; count those that differ, by service."""
    kept: list[ConvertedTrace] = []
    conflicting: Counter[str] = Counter()
    for trace in traces:
        rest, conflicts = without_stored(trace, earlier.get(trace.trace_id, ()))
        kept.append(rest)
        if conflicts := conflicts + trace.piece.conflicts:
            log_conflicts(trace.trace_id, conflicts)
            conflicting[trace.service] += conflicts
    return kept, conflicting


def _all_spans(trace: ConvertedTrace, plan: Plan) -> tuple[AnySpan, ...]:
    earlier = plan.earlier.get(trace.trace_id, ())
    return (*(span for span in earlier if span.span_id not in trace.renewed), *trace.stored)


def _with_whole(trace: ConvertedTrace, spans: Sequence[AnySpan], plan: Plan) -> ConvertedTrace:
    whole = spans if _is_whole(trace, plan.known) else ()
    return replace(trace, whole=whole, late=trace.trace_id in plan.known)


def _complete(trace: ConvertedTrace, plan: Plan) -> CompleteTrace:
    return CompleteTrace(
        trace_id=trace.trace_id,
        service=trace.service,
        tracestate=trace.tracestate,
        spans=trace.whole,
        known=_was_judged(trace, plan.known),
    )


def _is_whole(trace: ConvertedTrace, known: Mapping[str, TraceRecord]) -> bool:
    before = known.get(trace.trace_id)
    return trace.piece.root_seen or (before is not None and before.root_seen)


def _was_judged(trace: ConvertedTrace, known: Mapping[str, TraceRecord]) -> bool:
    """Whether it went to the judges before; what was seen of it without any GenAI span did not."""
    before = known.get(trace.trace_id)
    return before is not None and before.outcome != "not_genai" and before.root_seen
