"""Compares what an application sent with what a judge is to see of it."""

from collections.abc import Iterator, Sequence
from typing import Any

from mlflow.entities import SpanType
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from qualitrace_collector.convert import convert_all
from qualitrace_collector.convert.build_sample import outermost
from qualitrace_collector.convert.mlflow_span import AnySpan
from qualitrace_collector.convert.span_draft import CALL_TYPES
from qualitrace_collector.convert.trace import service_of
from qualitrace_collector.show.traces import sample_with_sources
from support.pieces import pieces_in


def seen(request: ExportTraceServiceRequest, logs: ExportLogsServiceRequest | None = None) -> list[dict[str, Any]]:
    """Return what judges see of each GenAI trace, in the order of their first spans.

    Each is what `qualitrace sample --json` prints, with more beside it: `calls` of models that were counted,
    `tool_spans`, of which those inside another one are not counted, `spans_without_session`, and `retrieved`, the
    documents of each retriever.
    """
    converted, failures = convert_all([(piece, service_of(piece)) for piece in pieces_in(request, logs)])
    assert not failures, failures
    return [
        sample_with_sources(trace.stored, trace.service, True)
        | {
            "calls": len(outermost(trace.stored, CALL_TYPES)),
            "tool_spans": sum(span.span_type == SpanType.TOOL for span in trace.stored),
            "retrieved": list(_retrieved(trace.stored)),
            "spans_without_session": sum(not span.get_attribute("session.id") for span in trace.stored),
        }
        for trace in converted
        if trace.is_genai
    ]


def mistakes(expected: dict[str, Any], samples: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong, one line each.

    Args:
        expected: `traces` (default 1) and, of the last of them, any of `question`, `answer`, `passages` (as texts, in
            any order; `passages_first` names the best), `retrievals` (how many), `documents` (as [id, source] or, with a
            score, [id, source, "scored"], in any order), `tools` (as [name, arguments, result]), `tokens` (input,
            output), `calls`, `tool_spans`, `spans_without_session`, `session`, `user`, `error` (part of it),
            `conversation` (texts).
    """
    traces = expected.get("traces", 1)
    found = [] if len(samples) == traces else [f"{len(samples)} traces, not {traces}"]
    if not samples:
        return found
    last = samples[-1]
    given = {
        "question": last["inputs"],
        "answer": last["outputs"],
        "passages": sorted(last["passages"]),
        "passages_first": next(iter(last["passages"]), None),
        "retrievals": len(last["retrieved"]),
        "documents": sorted(_brief(document) for documents in last["retrieved"] for document in documents),
        "tools": [[call["name"], call["arguments"], call["result"]] for call in last["tool_calls"]],
        "tokens": [last["tokens"].get("input"), last["tokens"].get("output")],
        "calls": last["calls"],
        "tool_spans": last["tool_spans"],
        "spans_without_session": last["spans_without_session"],
        "session": last["session"],
        "user": last["user"],
        "conversation": [turn["content"] for turn in last["conversation"]],
    }
    for name, value in expected.items():
        if name in given and given[name] != (sorted(value) if name in ("passages", "documents") else value):
            found.append(f"{name}: {given[name]!r}, not {value!r}")
    if "error" in expected and (expected["error"] is None) != (last["error"] is None):
        found.append(f"error: {last['error']!r}, not {expected['error']!r}")
    elif expected.get("error") and expected["error"] not in last["error"]:
        found.append(f"error: {last['error']!r} lacks {expected['error']!r}")
    return found


def _retrieved(spans: Sequence[AnySpan]) -> Iterator[list[dict[str, Any]]]:
    """Yield the documents of each retrieval. LlamaIndex' instrumentor repeats each in a span that only names them."""
    for span in spans:
        found = span.outputs or []
        if span.span_type == SpanType.RETRIEVER and not any(isinstance(document, str) for document in found):
            yield found


def _brief(document: dict[str, Any]) -> list[str]:
    metadata = document["metadata"]
    brief = [document["id"], metadata.get("source")]
    return [*brief, "scored"] if isinstance(metadata.get("score"), float) else brief
