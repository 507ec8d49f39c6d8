"""What a dialect is: the names under which a family of libraries records the fields of a draft."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from qualitrace_collector.convert.span_draft import SpanDraft
from qualitrace_collector.convert.usage import with_total

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Attribute names by field, the preferred first.

    Attributes:
        roots: first parts of attribute or event names (up to the first dot or colon) that tell the dialect.
        types: for each attribute that tells the span's type, MLflow's type by its value.
        tokens: attribute names by MLflow's name of the count.
        before: reads what names alone cannot tell, and goes before them.
        after: mends what was found, whichever dialect found it.
    """

    roots: frozenset[str]
    types: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    inputs: Names = ()
    outputs: Names = ()
    tools: Names = ()
    model: Names = ()
    provider: Names = ()
    response_id: Names = ()
    tokens: Mapping[str, Names] = field(default_factory=dict[str, Names])
    before: Callable[[SpanDraft], None] | None = None
    after: Callable[[SpanDraft], None] | None = None
    _token_names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Collect the names of counts, to see at once whether a span has any."""
        object.__setattr__(self, "_token_names", frozenset(name for names in self.tokens.values() for name in names))

    def read(self, draft: SpanDraft) -> None:
        """Fill the fields of a draft that are still empty."""
        if self.before is not None:
            self.before(draft)
        if draft.type is None and self.types:
            draft.type = self._type(draft)
        self._read_content(draft)
        if draft.usage is None and self.tokens and not self._token_names.isdisjoint(draft.values):
            draft.usage = self._usage(draft)
        if self.after is not None:
            self.after(draft)

    def _read_content(self, draft: SpanDraft) -> None:
        if draft.inputs is None and self.inputs:
            draft.inputs = draft.first(self.inputs)
        if draft.outputs is None and self.outputs:
            draft.outputs = draft.first(self.outputs)
        if draft.tools is None and self.tools:
            draft.tools = draft.first(self.tools)
        if draft.model is None and self.model:
            draft.model = draft.text(self.model)
        if draft.provider is None and self.provider:
            draft.provider = draft.text(self.provider)
        if draft.response_id is None and self.response_id:
            draft.response_id = draft.text(self.response_id)

    def _type(self, draft: SpanDraft) -> str | None:
        for key, by_value in self.types.items():
            value = draft.values.get(key)
            if isinstance(value, str) and (found := by_value.get(value) or by_value.get(str(draft.loads(value)))):
                return found
        return None

    def _usage(self, draft: SpanDraft) -> dict[str, int] | None:
        found = {name: count for name, keys in self.tokens.items() if (count := draft.count(keys)) is not None}
        return with_total(found)
