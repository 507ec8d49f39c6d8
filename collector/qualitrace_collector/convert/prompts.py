"""Which prompt of a registry a span used, by name and version."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from qualitrace_collector.convert.content.opening import load_json
from qualitrace_collector.convert.dialects import DIALECTS
from qualitrace_collector.convert.mlflow_span import StoredSpan

_PAIRS = [(dialect.prompt_name, dialect.prompt_version) for dialect in DIALECTS if dialect.prompt_version]
_VERSIONS = frozenset(name for _, versions in _PAIRS for name in versions)

# MLflow's SpanAttributeKey.TRACE_TAG_PREFIX and TraceTagKey.LINKED_PROMPTS, whose value is [{"name", "version"}]. Its
# `load_prompt` writes the same list to the span in which it is called.
TAG_PREFIX = "mlflow.traceTag."
LINKED_PROMPTS = "mlflow.linkedPrompts"
PROMPTS_TAG = TAG_PREFIX + LINKED_PROMPTS

# Characters of a name: MLflow's own limit. Twenty prompts fit into a tag.
MAX_NAME = 250
# Characters of `name/version` in MLflow's table of associations.
MAX_LABEL = 36


class Prompt(NamedTuple):
    """A prompt's name (empty if the span has none) and version."""

    name: str
    version: str

    @property
    def label(self) -> str:
        """`name/version`, as MLflow writes it."""
        return f"{self.name}/{self.version}" if self.name else self.version


def prompt_of(attribute: Callable[[str], Any]) -> Prompt | None:
    """Return the prompt of a span that has a version, None without any.

    Args:
        attribute: returns the value of an attribute by its name.
    """
    for names, versions in _PAIRS:
        if version := _first(attribute, versions):
            return Prompt(_first(attribute, names), version)
    return None


def linked_prompts(values: Mapping[str, Any]) -> list[Prompt]:
    """Return the prompts with name and version among a span's attributes."""
    lists = [_opened(values[key]) for key in (PROMPTS_TAG, LINKED_PROMPTS) if key in values]
    found = [
        Prompt(str(item["name"])[:MAX_NAME], str(item["version"])[:MAX_NAME])
        for items in lists
        for item in (items if isinstance(items, list) else ())
        if isinstance(item, dict) and {"name", "version"} <= item.keys()
    ]
    if not _VERSIONS.isdisjoint(values) and (prompt := prompt_of(values.get)) and prompt.name:
        found.append(prompt)
    return found


def searched_prompts(spans: Iterable[StoredSpan]) -> list[Prompt]:
    """Return the prompts by which MLflow's search is to find a trace: those whose label its table can hold."""
    tags = (span.data["attributes"].get(PROMPTS_TAG) for span in spans if not span.parent_id)
    found = (prompt for tag in tags if tag for prompt in linked_prompts({PROMPTS_TAG: tag}))
    return [prompt for prompt in found if len(prompt.label) <= MAX_LABEL]


def _opened(value: Any) -> Any:
    """Open JSON; the tag of a stored span is JSON text in a JSON string."""
    for _ in range(2):
        value = load_json(value, None) if isinstance(value, str) else value
    return value


def linked_prompts_text(prompts: list[Prompt]) -> str:
    """Return the value of the tag by which MLflow shows the prompts of a trace."""
    return json.dumps([prompt._asdict() for prompt in prompts], ensure_ascii=False)


def _first(attribute: Callable[[str], Any], names: Iterable[str]) -> str:
    for name in names:
        value = attribute(name)
        if isinstance(value, float) and value.is_integer():  # JavaScript's numbers
            value = int(value)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            return str(value)[:MAX_NAME]
    return ""
