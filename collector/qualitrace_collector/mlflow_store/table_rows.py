"""Makes the rows of a new trace in MLflow's tables, the same ones that MLflow's own store would write.

There is one exception: where every span of a whole trace has a parent, its state and previews are those of the local
root (`headline.py`); MLflow's own store would call the trace IN_PROGRESS and show nothing.

Import it only where `tested_tables.has_tested_tables` holds: older releases of MLflow lack names that it imports.
"""

import json
import uuid
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from mlflow.entities import TraceState
from mlflow.entities.entity_type import EntityAssociationType
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.store.tracking.utils.trace_analytics import (
    COST_COLUMN_BY_KEY,
    TOKEN_COLUMN_BY_KEY,
    bounded_model_dimension,
    finite_float_or_none,
    token_count_or_none,
    validate_session_id,
    validate_trace_name,
)
from mlflow.tracing.constant import SpansLocation, TraceMetadataKey, TraceTagKey
from mlflow.tracing.otel.translation import sanitize_attributes
from mlflow.tracing.utils import aggregate_cost_from_span_nodes, aggregate_usage_from_span_nodes
from mlflow.utils.mlflow_tags import MLFLOW_ARTIFACT_LOCATION
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.uri import append_to_uri_path
from mlflow.utils.validation import _validate_trace_tag  # pyright: ignore[reportPrivateUsage]
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.sdk.resources import Resource as SdkResource

from qualitrace_collector.convert import ConvertedTrace
from qualitrace_collector.convert.mlflow_span import COST, MODEL, STATUS_PREFIX, USAGE, StoredSpan
from qualitrace_collector.convert.otlp_values import attribute_values
from qualitrace_collector.convert.prompts import TAG_PREFIX, Prompt, searched_prompts
from qualitrace_collector.mlflow_store.experiments import PlacedTrace
from qualitrace_collector.mlflow_store.headline import nodes, preview

_HIDDEN_RESOURCE = ("telemetry.sdk.", "mlflow.")
_ANY_TRACE = "{trace}"
_LOCAL_ROOT = 0
"""The index of the local root among the spans of a trace that was converted in one piece."""

TableRow = dict[str, Any]

_dumps = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(slots=True)
class TableRows:
    """The new rows of each table."""

    traces: list[TableRow] = field(default_factory=list[TableRow])
    tags: list[TableRow] = field(default_factory=list[TableRow])
    metadata: list[TableRow] = field(default_factory=list[TableRow])
    spans: list[TableRow] = field(default_factory=list[TableRow])
    associations: list[TableRow] = field(default_factory=list[TableRow])

    @property
    def size(self) -> int:
        """Characters of the spans' content."""
        return sum(len(row["content"]) for row in self.spans)

    def without(self, trace_ids: Container[str]) -> "TableRows":
        """Return the rows of all other traces."""
        return TableRows(
            traces=[row for row in self.traces if row["request_id"] not in trace_ids],
            tags=[row for row in self.tags if row["request_id"] not in trace_ids],
            metadata=[row for row in self.metadata if row["request_id"] not in trace_ids],
            spans=[row for row in self.spans if row["trace_id"] not in trace_ids],
            associations=[row for row in self.associations if row["source_id"] not in trace_ids],
        )


def rows_of(traces: Iterable[PlacedTrace]) -> TableRows:
    """Return the rows of traces."""
    rows = TableRows()
    # In the order of the tables' indexes.
    for place, trace in sorted(traces, key=lambda placed: placed[1].trace_id):
        _add_trace(rows, trace, int(place.experiment_id), place.artifact_location)
    return rows


def _add_trace(rows: TableRows, trace: ConvertedTrace, experiment_id: int, artifact_location: str) -> None:
    spans = [_span_row(span, experiment_id) for span in trace.stored]
    attributes = [span.data["attributes"] for span in trace.stored]
    roots = [index for index, row in enumerate(spans) if row["parent_span_id"] is None]
    shown = roots or ([_LOCAL_ROOT] if trace.whole or trace.piece.root_seen else [])
    root = attributes[shown[-1]] if shown else {}
    tags = _tags(trace, attributes[roots[-1]] if roots else {}, artifact_location)
    rows.spans += spans
    rows.traces.append(
        {
            "request_id": trace.trace_id,
            "experiment_id": experiment_id,
            "status": _state(spans[shown[0]]) if shown else TraceState.IN_PROGRESS.value,
            "client_request_id": None,
            "request_preview": preview(root.get("mlflow.spanInputs"), "user"),
            "response_preview": preview(root.get("mlflow.spanOutputs"), "assistant"),
            "db_payload_generation": 1,
            "trace_name": tags.pop(TraceTagKey.TRACE_NAME, None),
            "session_id": _session(attributes),
        }
        | _times(spans)
        | _sums(trace.stored)
    )
    rows.associations += [_association(trace.trace_id, prompt) for prompt in searched_prompts(trace.stored)]
    rows.tags += [{"request_id": trace.trace_id, "key": key, "value": value} for key, value in tags.items()]
    if user := next((_opened(found) for item in attributes if (found := item.get("user.id"))), None):
        rows.metadata.append({"request_id": trace.trace_id, "key": TraceMetadataKey.TRACE_USER, "value": user})


def _association(trace_id: str, prompt: Prompt) -> TableRow:
    """Link a trace to a prompt for MLflow's search, as its `link_prompts_to_trace` does; its pages go by the tag."""
    return {
        "association_id": uuid.uuid4().hex,
        "source_type": EntityAssociationType.TRACE,
        "source_id": trace_id,
        "destination_type": EntityAssociationType.PROMPT_VERSION,
        "destination_id": prompt.label,
        "created_time": get_current_time_millis(),
    }


def _span_row(span: StoredSpan, experiment_id: int) -> TableRow:
    attributes = span.data["attributes"]
    cost = json.loads(attributes.get(COST, "{}"))
    return {
        "trace_id": span.trace_id,
        "experiment_id": experiment_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_id,
        "name": span.name,
        "type": span.span_type,
        "status": span.data["status"]["code"].removeprefix(STATUS_PREFIX),
        "start_time_unix_nano": span.start_time_ns,
        "end_time_unix_nano": span.end_time_ns,
        "content": _dumps(_as_logged(span)),
        "input_cost": finite_float_or_none(cost.get("input_cost")),
        "output_cost": finite_float_or_none(cost.get("output_cost")),
        "total_cost": finite_float_or_none(cost.get("total_cost")),
        "model_name": bounded_model_dimension(_opened(attributes.get(MODEL))),
        "model_provider": bounded_model_dimension(_opened(attributes.get("mlflow.llm.provider"))),
    }


def _as_logged(span: StoredSpan) -> TableRow:
    """Return a span as MLflow writes it: tags that hold JSON without the quotes that keep them text on the way."""
    attributes = span.data["attributes"]
    tags = {} if span.parent_id else {key: text for key, text in attributes.items() if key.startswith(TAG_PREFIX)}
    return span.data | {"attributes": attributes | sanitize_attributes(tags)} if tags else span.data


def _state(root: TableRow) -> str:
    return TraceState.ERROR.value if root["status"] == "ERROR" else TraceState.OK.value


def _times(spans: Sequence[TableRow]) -> TableRow:
    start = min(row["start_time_unix_nano"] for row in spans) // 1_000_000
    ends = [row["end_time_unix_nano"] for row in spans if row["end_time_unix_nano"] is not None]
    return {"timestamp_ms": start, "execution_time_ms": max(ends) // 1_000_000 - start if ends else None}


def _sums(spans: Sequence[StoredSpan]) -> TableRow:
    usage = aggregate_usage_from_span_nodes(nodes(spans, USAGE)) or {}
    cost = aggregate_cost_from_span_nodes(nodes(spans, COST)) or {}
    return {column: token_count_or_none(usage.get(key)) for key, column in TOKEN_COLUMN_BY_KEY.items()} | {
        column: finite_float_or_none(cost.get(key)) for key, column in COST_COLUMN_BY_KEY.items()
    }


def _session(attributes: Sequence[dict[str, str]]) -> str | None:
    for item in attributes:
        if found := item.get("session.id") or item.get("gen_ai.conversation.id"):
            return validate_session_id(_opened(found))
    return None


def _tags(trace: ConvertedTrace, root: dict[str, str], artifact_location: str) -> dict[str, str]:
    """Return the tags of a trace: MLflow's own, the resource's attributes, and those that the client set."""
    tags = {
        MLFLOW_ARTIFACT_LOCATION: _folder(artifact_location).replace(_ANY_TRACE, trace.trace_id),
        TraceTagKey.SPANS_LOCATION: SpansLocation.TRACKING_STORE.value,
    } | _resource_tags(trace.resource.SerializeToString())
    for key, value in root.items():
        if key.startswith(TAG_PREFIX):
            _put_tag(tags, key.removeprefix(TAG_PREFIX), str(_opened(value)))
    if TraceTagKey.TRACE_NAME in tags:
        tags[TraceTagKey.TRACE_NAME] = str(validate_trace_name(tags[TraceTagKey.TRACE_NAME]))
    return tags


@lru_cache(maxsize=1024)
def _folder(artifact_location: str) -> str:
    return append_to_uri_path(
        artifact_location, SqlAlchemyStore.TRACE_FOLDER_NAME, _ANY_TRACE, SqlAlchemyStore.ARTIFACTS_FOLDER_NAME
    )


@lru_cache(maxsize=1024)
def _resource_tags(serialized: bytes) -> dict[str, str]:
    tags: dict[str, str] = {}
    for key, value in SdkResource(attribute_values(Resource.FromString(serialized).attributes)).attributes.items():
        if not key.startswith(_HIDDEN_RESOURCE):
            _put_tag(tags, key, value if isinstance(value, str) else json.dumps(value))
    return tags


def _put_tag(tags: dict[str, str], key: str, value: str) -> None:
    """Add a tag, cut to MLflow's lengths."""
    try:
        name, cut = _validate_trace_tag(key, value)
    except MlflowException:
        return  # MLflow leaves out a tag whose name it refuses
    tags[str(name)] = str(cut)


def _opened(value: str | None) -> Any:
    """Return the text that JSON text holds, and anything else as it is, as MLflow does."""
    if value is None or value[:1] != '"':
        return value
    return json.loads(value)
