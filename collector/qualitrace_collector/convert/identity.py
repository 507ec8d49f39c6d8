"""Whose a trace is: its session and its user, under the names by which MLflow finds them at the root.

The spans name them, under many names. Where none does, the root's resource may: a command-line tool, a batch or a page
is one session of one user, and `OTEL_RESOURCE_ATTRIBUTES` is the one place that needs no code. A server's resource is
the same for all whom it serves, so it names nobody's session. A server is known by a span of kind SERVER or CONSUMER
in the trace, an HTTP request that is not a client's at the root, or a server's name in its resource.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.convert.dialects import DIALECTS
from qualitrace_collector.convert.otlp_span import attribute_values
from qualitrace_collector.convert.span_draft import SpanDraft
from qualitrace_collector.piece import SpanRecord

MAX_IDENTITY = 250
"""MLflow refuses a trace with a longer session id (MAX_CHARS_IN_TRACE_INFO_METADATA)."""

MAX_COMMAND = 1000
"""Letters of a process's command in which a server's name is looked for."""

# Where a session's id may stand, the most deliberate first: instrumentations of providers' clients set
# `gen_ai.conversation.id` by themselves.
SESSION_KEYS = (
    "session.id",
    *(name for dialect in DIALECTS for name in dialect.session),
    "gen_ai.conversation.id",
)
USER_KEYS = ("user.id", "enduser.id", *(name for dialect in DIALECTS for name in dialect.user))

_RANKS = {
    "session.id": {key: rank for rank, key in enumerate(SESSION_KEYS)},
    "user.id": {key: rank for rank, key in enumerate(USER_KEYS)},
}
_IDENTITIES = frozenset({*SESSION_KEYS, *USER_KEYS})

_SERVING = (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER)
_SERVED = ("http.request.method", "http.method", "http.route", "http.target", "faas.trigger")
"""Attributes that the root of a served request has (semantic conventions for HTTP and FaaS)."""

_SERVER_NAMES = ("webengine.name", "faas.name")
_COMMANDS = ("process.command", "process.command_line", "process.command_args", "process.executable.name")
_SERVERS = re.compile(r"\b(gunicorn|uvicorn|hypercorn|daphne|granian|uwsgi|waitress-serve|celery)\b")


def as_identities(values: dict[str, Any]) -> None:
    """Turn all ids among the attributes into text of bounded length: many are numbers in databases."""
    for key in _IDENTITIES & values.keys():
        if _is_identity(value := values[key]):
            values[key] = _text(value)


def take_identity(root: SpanDraft, drafts: Sequence[SpanDraft]) -> None:
    """Give the root the best session and user that its spans name."""
    for name, ranks in _RANKS.items():
        if not root.values.get(name):
            _put(root, name, _best((values for draft in drafts for values in _attributes(draft)), ranks))


def take_resource_identity(root: SpanDraft, records: Sequence[SpanRecord]) -> None:
    """Give the root the session and user of its resource where its spans name none, unless that is a server's.

    Args:
        records: the spans of the trace as they came.
    """
    resource = next((record.resource for record in records if record.span.span_id == root.span.span_id), None)
    if resource is None or _IDENTITIES.isdisjoint(attribute.key for attribute in resource.attributes):
        return
    values = attribute_values(resource.attributes)
    if not _is_servers(values, root, (record.span for record in records if _is_same(record.resource, resource))):
        for name, ranks in _RANKS.items():
            if not root.values.get(name) and name not in root.added:
                _put(root, name, _best([values], ranks))


def _is_servers(resource: Mapping[str, Any], root: SpanDraft, spans: Iterable[Span]) -> bool:
    return (
        any(key in resource for key in _SERVER_NAMES)
        or any(_SERVERS.search(str(resource.get(key, ""))[:MAX_COMMAND]) for key in _COMMANDS)
        or (root.span.kind != Span.SPAN_KIND_CLIENT and any(key in root.values for key in _SERVED))
        or any(span.kind in _SERVING for span in spans)
    )


def _is_same(one: Resource, other: Resource) -> bool:
    return one is other or one == other


def _best(attributes: Iterable[Mapping[str, Any]], ranks: Mapping[str, int]) -> Any:
    found = [
        (ranks[key], values[key])
        for values in attributes
        for key in ranks.keys() & values.keys()
        if _is_identity(values[key])
    ]
    return min(found, key=lambda item: item[0])[1] if found else None


def _put(root: SpanDraft, name: str, value: Any) -> None:
    if value is not None:
        root.added[name] = _text(root.loads(value))


def _attributes(draft: SpanDraft) -> Iterator[Mapping[str, Any]]:
    """Yield the attributes, and those in `metadata`, which OpenInference and MLflow's LangChain keep as JSON."""
    yield draft.values
    metadata = draft.loads(draft.values.get("metadata"))
    if isinstance(metadata, dict):
        yield {f"metadata.{key}": value for key, value in metadata.items()}


def _is_identity(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool) and value != ""


def _text(value: Any) -> str:
    """Return an id as text; JavaScript's numbers are floats."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value)[:MAX_IDENTITY]
