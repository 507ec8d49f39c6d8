"""Declares where a family of libraries records the fields of a span."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.span_draft import SpanDraft
from qualitrace_collector.convert.usage import with_total

Names = Sequence[str]

# A larger number in an attribute's name is not taken for a position in a list.
MAX_INDEX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Attribute names by field, the preferred name first.

    Attributes:
        name: what metrics and `qualitrace doctor` call the family; several dialects may share one.
        roots: first parts of attribute or event names (up to the first dot or colon) by which a span is recognised.
        shared_roots: roots that other libraries use too, so that they do not make a span one of a GenAI library.
        span_prefix: start of the names of the family's spans, where its attributes have no root of their own; the
            part up to the first dot is one of the `roots`.
        types: for each attribute that decides the span's type, MLflow's type by its value (`span_types`).
        tokens: attribute names by MLflow's name of the count; `costs` likewise, in US dollars.
        session, user: attributes that hold the id of a session or of a user.
        prompt_name, prompt_version: attributes that name a prompt of a registry, and its version.
        metadata: prefixes of attributes with the application's own metadata, in which a session or a user may be named.
        message_format: MLflow's name of the form of messages, where its page knows it.
        before: reads what names alone cannot; runs before the names are looked up.
        unwrap: returns the inputs or outputs as text, a JSON value, or messages in OpenAI's chat form, for a family
            that wraps them or has a form of its own. Runs on content of any dialect.
        after: corrects what was found, whichever dialect found it.
    """

    name: str
    roots: Set[str] = frozenset()
    shared_roots: Set[str] = frozenset()
    span_prefix: str = ""
    types: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    inputs: Names = ()
    outputs: Names = ()
    tools: Names = ()
    tool_name: Names = ()
    model: Names = ()
    provider: Names = ()
    response_id: Names = ()
    tokens: Mapping[str, Names] = field(default_factory=dict[str, Names])
    costs: Mapping[str, Names] = field(default_factory=dict[str, Names])
    session: Names = ()
    user: Names = ()
    prompt_name: Names = ()
    prompt_version: Names = ()
    metadata: Names = ()
    message_format: str | None = None
    before: Callable[[SpanDraft], None] | None = None
    unwrap: Callable[[SpanDraft, Any], Any] | None = None
    after: Callable[[SpanDraft], None] | None = None
    all_roots: Set[str] = field(init=False)
    _fields: Sequence[tuple[str, Names, Callable[[SpanDraft, Names], Any]]] = field(init=False)
    _token_names: Set[str] = field(init=False)

    def __post_init__(self) -> None:
        """Leave out fields without names and collect the names of counts: `read` runs for every span."""
        fields = [(name, getattr(self, name), SpanDraft.first) for name in ("inputs", "outputs", "tools")]
        fields += [(name, getattr(self, name), SpanDraft.text) for name in ("model", "provider", "response_id")]
        object.__setattr__(self, "all_roots", self.roots | self.shared_roots)
        object.__setattr__(self, "_fields", [item for item in fields if item[1]])
        object.__setattr__(self, "_token_names", frozenset(name for names in self.tokens.values() for name in names))

    def read(self, draft: SpanDraft) -> None:
        """Fill the fields of a draft that are still empty."""
        if self.message_format is not None:
            draft.message_format = self.message_format
        if self.before is not None:
            self.before(draft)
        if draft.type is None and self.types:
            draft.type = self._type(draft)
        for name, attributes, read in self._fields:
            if getattr(draft, name) is None and (found := read(draft, attributes)) is not None:
                setattr(draft, name, found)
        if draft.usage is None and self.tokens and not self._token_names.isdisjoint(draft.values):
            counts = ((name, draft.count(attributes)) for name, attributes in self.tokens.items())
            draft.usage = with_total({name: count for name, count in counts if count is not None})
        if self.unwrap is not None:
            draft.inputs = draft.inputs if draft.inputs is None else self.unwrap(draft, draft.inputs)
            draft.outputs = draft.outputs if draft.outputs is None else self.unwrap(draft, draft.outputs)
        if self.after is not None:
            self.after(draft)

    def _type(self, draft: SpanDraft) -> str | None:
        for key, by_value in self.types.items():
            value = draft.values.get(key)
            if isinstance(value, str) and (found := by_value.get(value) or by_value.get(str(draft.loads(value)))):
                return found
        return None


def span_types(same: str = "", /, **names: str) -> dict[str, str]:
    """Return MLflow's span type by each of the names: `span_types("llm agent", TOOL="tool mcp_tool")`.

    Args:
        same: names that are MLflow's own, in any case.
        names: other names, by MLflow's.
    """
    kinds = {name: name.upper() for name in same.split()}
    kinds |= {name: kind for kind, listed in names.items() for name in listed.split()}
    return {name: getattr(SpanType, kind) for name, kind in kinds.items()}


def subtree(values: Mapping[str, Any], prefix: str) -> list[Any]:
    """Return the list of numbered attributes under `prefix`, empty if there is none.

    Under `m.`, `m.0.a` = 1 and `m.1.a.b` = 2 are [{"a": 1}, {"a": {"b": 2}}].
    """
    tree: dict[str, Any] = {}
    start = len(prefix)
    for key, value in values.items():
        # Others may stand beside the numbers: `gen_ai.prompt.name` beside `gen_ai.prompt.0.content`.
        if key.startswith(prefix) and key[start : start + 1].isdigit():
            _plant(tree, key[len(prefix) :].split("."), value)
    listed = _listed(tree)
    return listed if isinstance(listed, list) else []


def _plant(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        branch = tree.setdefault(part, {})
        if not isinstance(branch, dict):  # both `a` and `a.b` were sent: the longer name wins
            branch = tree[part] = {}
        tree = branch
    if not isinstance(tree.get(path[-1]), dict):
        tree[path[-1]] = value


def _listed(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    numbers = [int(key) for key in tree if key.isascii() and key.isdigit() and len(key) < 6]
    if tree and len(numbers) == len(tree) and max(numbers) <= MAX_INDEX:
        return [_listed(tree[key]) for key in sorted(tree, key=int)]
    return {key: _listed(value) for key, value in tree.items()}


def tool_call(call_id: Any, function: Any) -> dict[str, Any]:
    """Return a call of a tool in OpenAI's chat form; `function` is a mapping with `name` and `arguments`."""
    fields = function if isinstance(function, dict) else {}
    call = {"type": "function", "function": {"name": fields.get("name"), "arguments": fields.get("arguments")}}
    return call if call_id is None else {"id": call_id} | call


def mappings_under(items: Iterable[Any], key: str) -> list[dict[str, Any]]:
    """Return what each item holds under a key, for the items in which that is a mapping."""
    inner = (item.get(key) for item in items if isinstance(item, dict))
    return [item for item in inner if isinstance(item, dict)]
