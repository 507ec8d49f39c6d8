"""Shows at a trace's root what the whole trace says: question and answer, session and user, and whether it failed.

The root gets session and user under the names by which MLflow finds them; spans use many other names. Where no span
names them, the root's resource may: a command-line tool, a batch or a page is one session of one user, and
`OTEL_RESOURCE_ATTRIBUTES` is the one place that needs no code. A server's resource is the same for everybody it
serves, so it names nobody's session. A server has a span of kind SERVER or CONSUMER in the trace, an HTTP request at
the root that is not a client's, or a server's name in its resource.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from mlflow.entities import SpanType
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.convert.content import answer_text, question_text
from qualitrace_collector.convert.content.answer import is_material
from qualitrace_collector.convert.content.documents import document_texts
from qualitrace_collector.convert.content.opening import is_blank, is_cut_repr, parsed
from qualitrace_collector.convert.content.prompt import is_rendered
from qualitrace_collector.convert.content.question import asked
from qualitrace_collector.convert.dialects import DIALECTS
from qualitrace_collector.convert.one_span_per_call import failed
from qualitrace_collector.convert.otlp_values import any_value, attribute_values
from qualitrace_collector.convert.span_draft import CALL_TYPES, SpanDraft
from qualitrace_collector.piece import SpanRecord

# Types of spans whose outputs are material for an answer, not one.
NO_ANSWER_TYPES = (SpanType.RETRIEVER, SpanType.EMBEDDING, SpanType.RERANKER, SpanType.TOOL)

# Prefix of the root's attributes that name the span from which its inputs or outputs were taken, by its id.
PROMOTED = "qualitrace.from."

# MLflow refuses a trace with a longer session id (MAX_CHARS_IN_TRACE_INFO_METADATA).
MAX_IDENTITY = 250

# A resource's attributes that say which release of the application answered, and where (OpenTelemetry's, new and old).
ORIGIN_KEYS = ("service.version", "deployment.environment.name", "deployment.environment")

# Retrievers whose queries are looked for in a prompt. This bounds the time.
MAX_RETRIEVERS = 20

# Characters of a process's command in which a server's name is looked for.
MAX_COMMAND = 1000


def _in_dialects(field: Literal["session", "user"], *names: str) -> Iterator[str]:
    """Yield the dialects' attributes for an id: first those in metadata (`user_id`, `userId`, `user.id`)."""
    for dialect in DIALECTS:
        for prefix in dialect.metadata:
            yield from (prefix + name + suffix for name in names for suffix in ("_id", "Id", ".id"))
        yield from getattr(dialect, field)


# Where a session's id may stand, the most deliberate name first: instrumentations of providers' clients set
# `gen_ai.conversation.id` by themselves.
_IN_DIALECTS = _in_dialects("session", "session", "conversation", "chat", "thread")
SESSION_KEYS = ("session.id", *_IN_DIALECTS, "gen_ai.conversation.id")
USER_KEYS = ("user.id", "enduser.id", *_in_dialects("user", "user"))

_RANKS = {
    name: {key: rank for rank, key in enumerate(keys)}
    for name, keys in (("session.id", SESSION_KEYS), ("user.id", USER_KEYS))
}
_IDENTITIES = frozenset({*SESSION_KEYS, *USER_KEYS})

_HTTP_STATUS = ("http.response.status_code", "http.status_code")
_SERVING = (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER)

# Attributes that the root of a served request has (semantic conventions for HTTP and FaaS).
SERVED = ("http.request.method", "http.method", "http.route", "http.target", "faas.trigger")

_SERVER_NAMES = ("webengine.name", "faas.name")
_COMMANDS = ("process.command", "process.command_line", "process.command_args", "process.executable.name")
_SERVERS = re.compile(r"\b(gunicorn|uvicorn|hypercorn|daphne|granian|uwsgi|waitress-serve|celery)\b")

_Children = Mapping[bytes, Sequence[SpanDraft]]

# A content, and the span that has it.
_Found = tuple[Any, SpanDraft]


def complete_root(root: SpanDraft, drafts: Sequence[SpanDraft]) -> None:
    """Fill in what the root lacks and other spans of the trace show."""
    children: dict[bytes, list[SpanDraft]] = {}
    for draft in drafts:
        if draft is not root:
            children.setdefault(draft.span.parent_span_id, []).append(draft)
    if root.failure is None:
        root.failure = _failure(root, children)
    inputs, outputs = root.loads(root.inputs), root.loads(root.outputs)
    # Messages may be without any text: a streamed chain's in OTel's LangChain spans.
    if is_blank(inputs) or is_blank(parsed(question_text(inputs))):
        _promote(root, "inputs", _asked_below(root, children, drafts))
    if is_blank(outputs) or _is_unread(outputs):
        _promote(root, "outputs", _last_answer(drafts) or _found_below(root, children, _answer, _said, last=True))
    attributes = (values for draft in drafts for values in _attributes(draft))
    named = [values for values in attributes if not _IDENTITIES.isdisjoint(values)]
    for name, ranks in _RANKS.items():
        if not root.values.get(name):
            _put(root, name, _best(named, ranks))


def _promote(root: SpanDraft, field: str, found: _Found | None) -> None:
    """Copy the content of a span below to the root, and name that span in an attribute."""
    if found is not None:
        content, draft = found
        setattr(root, field, content)
        root.added[PROMOTED + field] = draft.span.span_id.hex()


def _asked(draft: SpanDraft) -> str:
    return asked(draft.loads(draft.inputs), of_model=draft.type in CALL_TYPES).question


def _asked_below(root: SpanDraft, children: _Children, drafts: Sequence[SpanDraft]) -> _Found | None:
    """Return the question closest to the root; of a prompt that was rendered with passages, the query that found them.

    Chains often record no input of their own (LangChain's, when they stream), so that the prompt comes first.
    """
    found = _found_below(root, children, lambda draft: draft.inputs, _asked)
    if found is None or not isinstance(found[0], str):
        return found
    retrievers = [draft for draft in drafts if draft.type == SpanType.RETRIEVER][:MAX_RETRIEVERS]
    queries = [
        (query, draft)
        for draft in retrievers
        if is_rendered(found[0], query := _asked(draft), document_texts(draft.loads(draft.outputs)))
    ]
    return max(queries, key=lambda item: len(item[0]), default=found)


def _said(draft: SpanDraft) -> str:
    outputs = draft.loads(draft.outputs)
    return answer_text(outputs, draft.loads(draft.inputs), from_model=draft.type in CALL_TYPES)


def _last_answer(drafts: Sequence[SpanDraft]) -> _Found | None:
    """Return the last call's answer if some step returned an unreadable object instead of text."""
    if not any(_is_unread(draft.loads(draft.outputs)) for draft in drafts):
        return None
    calls = [draft for draft in drafts if draft.type in CALL_TYPES and draft.outputs is not None]
    last = max(calls, key=lambda draft: draft.span.end_time_unix_nano, default=None)
    return None if last is None or not (said := _said(last)) else (said, last)


def _is_unread(outputs: Any) -> bool:
    """Whether outputs only name an object without its content: LlamaIndex's unread streams, events cut off."""
    text = outputs.get("response_gen") if isinstance(outputs, dict) else outputs
    return isinstance(text, str) and is_cut_repr(text)


def _answer(draft: SpanDraft) -> Any:
    """Return a step's outputs unless they are material for an answer: of a retriever, or of a chain that calls one."""
    if draft.type in NO_ANSWER_TYPES or is_material(draft.loads(draft.outputs), draft.loads(draft.inputs)):
        return None
    return draft.outputs


def _found_below(
    root: SpanDraft,
    children: _Children,
    content: Callable[[SpanDraft], Any],
    text: Callable[[SpanDraft], str],
    *,
    last: bool = False,
) -> _Found | None:
    """Return the content closest to the root, as text if it reads as such: the first on that level, or the last."""
    level, seen = list(children.get(root.span.span_id, ())), {root.span.span_id}
    fallback: _Found | None = None
    while level:
        seen.update(draft.span.span_id for draft in level)
        for draft in reversed(level) if last else level:
            value = draft.loads(content(draft))
            if is_blank(value):
                continue
            if (found := text(draft)) and draft.type not in NO_ANSWER_TYPES:
                return found, draft
            fallback = fallback or (found or value, draft)
        below = [child for draft in level for child in children.get(draft.span.span_id, ())]
        level = [draft for draft in below if draft.span.span_id not in seen]
    return fallback


def _failure(root: SpanDraft, children: _Children) -> str | None:
    """Return the reason if the last step failed and the root, without a reason of its own, returned nothing.

    Some frameworks close their outermost span without checking how it ended. A failed request says no more than its
    status.
    """
    http = root.count(_HTTP_STATUS)
    served = root.span.kind == Span.SPAN_KIND_SERVER and any(key in root.values for key in SERVED)
    # A response below 400 means that the application handled the failure.
    if root.native or (failed(root) and not served) or (http is not None and 0 < http < 400):
        return None
    current, seen = root, {root.span.span_id}
    while is_blank(current.loads(current.outputs)):
        steps = [step for step in children.get(current.span.span_id, ()) if step.span.span_id not in seen]
        if not steps:
            return None
        current = max(steps, key=lambda step: step.span.end_time_unix_nano)
        seen.add(current.span.span_id)
        if failed(current):
            return current.span.status.message or current.span.name
    return None


def as_identities(values: dict[str, Any]) -> None:
    """Turn all ids among the attributes into text of bounded length; many are sent as numbers."""
    for key in _IDENTITIES & values.keys():
        if _is_identity(value := values[key]):
            values[key] = _text(value)


def take_resource_identity(root: SpanDraft, records: Sequence[SpanRecord]) -> None:
    """Give the root the session and user of its resource where no span names them, unless a server sent it.

    Args:
        records: the spans of the trace as received.
    """
    resource = next((record.resource for record in records if record.span.span_id == root.span.span_id), None)
    if resource is None or _IDENTITIES.isdisjoint(attribute.key for attribute in resource.attributes):
        return
    values = attribute_values(resource.attributes)
    # Spans of one scope share the object, so most need no comparison of all attributes.
    own = (record.span for record in records if record.resource is resource or record.resource == resource)
    if not _is_servers(values, root, own):
        for name, ranks in _RANKS.items():
            if not root.values.get(name) and name not in root.added:
                _put(root, name, _best([values], ranks))


def take_origin(root: SpanDraft, records: Sequence[SpanRecord]) -> None:
    """Give the root the release and the environment of its resource: MLflow's spans have no resource.

    Args:
        records: the spans of the trace as received.
    """
    resource = next((record.resource for record in records if record.span.span_id == root.span.span_id), None)
    for attribute in resource.attributes if resource else ():
        if attribute.key in ORIGIN_KEYS and attribute.key not in root.values:
            value = any_value(attribute.value)
            if _is_identity(value):
                root.added[attribute.key] = _text(value)


def _is_servers(resource: Mapping[str, Any], root: SpanDraft, spans: Iterable[Span]) -> bool:
    return (
        any(key in resource for key in _SERVER_NAMES)
        or any(_SERVERS.search(str(resource.get(key, ""))[:MAX_COMMAND]) for key in _COMMANDS)
        or (root.span.kind != Span.SPAN_KIND_CLIENT and any(key in root.values for key in SERVED))
        or any(span.kind in _SERVING for span in spans)
    )


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
    is_whole = isinstance(value, float) and value.is_integer()  # JavaScript's numbers are floats
    return str(int(value) if is_whole else value)[:MAX_IDENTITY]
