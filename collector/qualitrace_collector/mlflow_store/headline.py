"""The headline of a trace in MLflow's list: its state, and previews of request and response.

MLflow takes it from a span without a parent. A trace that began in another service, or whose root was filtered out,
has no such span and would be IN_PROGRESS for ever. So the headline is taken from the local root, which keeps the id of
its parent.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from mlflow.entities import TraceInfo, TraceState
from mlflow.tracing.constant import TRACE_REQUEST_RESPONSE_PREVIEW_MAX_LENGTH_DBX, TraceMetadataKey
from mlflow.tracing.utils import (
    SpanAggregationNode,
    aggregate_cost_from_span_nodes,
    aggregate_usage_from_span_nodes,
)
from mlflow.tracing.utils.truncation import _get_truncated_preview  # pyright: ignore[reportPrivateUsage]

from qualitrace_collector.convert.build_sample import is_error, root_of
from qualitrace_collector.convert.mlflow_span import COST, USAGE, AnySpan, json_text

_LONGER_THAN_PREVIEWS = 2 * TRACE_REQUEST_RESPONSE_PREVIEW_MAX_LENGTH_DBX  # the longer one of MLflow's two lengths


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """What MLflow's list shows of a whole trace.

    Attributes:
        state: OK or ERROR.
        started_ms: Unix milliseconds.
        of_child: the local root has a parent, which is in another service or was filtered out.
    """

    trace_id: str
    state: TraceState
    request_preview: str | None
    response_preview: str | None
    started_ms: int
    duration_ms: int
    of_child: bool


def headline_of(spans: Sequence[AnySpan]) -> Headline:
    """Return the headline of a trace, given all its spans."""
    root = root_of(spans)
    started = min(span.start_time_ns for span in spans) // 1_000_000
    return Headline(
        trace_id=root.trace_id,
        state=TraceState.ERROR if is_error(root) else TraceState.OK,
        request_preview=preview(json_text(root, "mlflow.spanInputs"), "user"),
        response_preview=preview(json_text(root, "mlflow.spanOutputs"), "assistant"),
        started_ms=started,
        duration_ms=max(span.end_time_ns or span.start_time_ns for span in spans) // 1_000_000 - started,
        of_child=root.parent_id is not None,
    )


def ended_trace(headline: Headline, known: TraceInfo, spans: Sequence[AnySpan]) -> TraceInfo:
    """Return what MLflow's clients send at the end of a trace (`AbstractStore.start_trace`).

    From then on MLflow does not update times and sums when more spans come, so they are sent as those of all spans.

    Args:
        known: what MLflow has of the trace; its tags and the rest of its metadata stay.
    """
    usage = aggregate_usage_from_span_nodes(nodes(spans, USAGE))
    cost = aggregate_cost_from_span_nodes(nodes(spans, COST))
    sums = {TraceMetadataKey.TOKEN_USAGE: usage, TraceMetadataKey.COST: cost}
    return TraceInfo(
        trace_id=headline.trace_id,
        trace_location=known.trace_location,
        request_time=headline.started_ms,
        execution_duration=headline.duration_ms,
        state=headline.state,
        request_preview=headline.request_preview,
        response_preview=headline.response_preview,
        client_request_id=known.client_request_id,
        trace_metadata={key: json.dumps(amounts) for key, amounts in sums.items() if amounts},
    )


def preview(content: str | None, role: str) -> str | None:
    """Return the beginning of inputs or outputs, given as JSON text, as MLflow shows it."""
    if content and not content.startswith("{"):
        # MLflow looks for messages in objects alone, and would parse other content for nothing.
        content = content[:_LONGER_THAN_PREVIEWS]
    try:
        return _get_truncated_preview(content, role=role) if content else None
    except Exception:  # odd content has no preview in MLflow's own store, either
        return None


def nodes(spans: Sequence[AnySpan], key: str) -> list[SpanAggregationNode]:
    """Return the tree from which MLflow sums tokens or costs: those of each span, which stand under `key`."""
    found: list[SpanAggregationNode] = []
    for span in spans:
        amounts = span.get_attribute(key)
        found.append(SpanAggregationNode(span.span_id, span.parent_id, amounts if isinstance(amounts, dict) else None))
    return found
