"""The JSON Schema of the configuration file, for editors: `qualitrace config schema`.

It knows the keys, their types and bounds. Only `check-config` checks what concerns several keys, and texts such as
conditions. The published file is written by
`python -m qualitrace_monitors.config.schema > docs/reference/configuration.schema.json`.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import models_json_schema

from qualitrace_monitors.config import Config
from qualitrace_monitors.notify.receivers import KINDS, Receiver

DIALECT = "https://json-schema.org/draft/2020-12/schema"  # pydantic's

_VARIABLE = {"$ref": "#/$defs/Variable"}
_VARIABLE_FORM = {
    "description": "A text with `${env:NAME}`, which stands for the environment variable NAME.",
    "type": "string",
    "pattern": r"\$\{env:[A-Za-z_][A-Za-z0-9_]*\}",
}
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_ABOUT = ("title", "description", "default", "examples")
_HOLDS_OTHERS = {"properties", "items", "additionalProperties"}
_RESTRICTED = ("number", "integer", "boolean")
_RESTRICTIONS = {"enum", "pattern", "minLength", "maxLength"}


def schema() -> dict[str, Any]:
    """Return the schema."""
    _, generated = models_json_schema([(model, "validation") for model in (Config, *KINDS.values())], by_alias=True)
    definitions: dict[str, Any] = generated["$defs"]
    kinds = [{"$ref": f"#/$defs/{model.__name__}"} for model in KINDS.values()]
    definitions[Receiver.__name__] = {"anyOf": kinds}
    root = definitions.pop(Config.__name__) | {"title": "qualitrace"}
    whole: dict[str, Any] = {"$schema": DIALECT, **root, "$defs": dict(sorted(definitions.items()))}
    for each in _below(whole):
        _improve(each)
    whole["$defs"]["Variable"] = _VARIABLE_FORM
    return whole


def _below(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a schema and those in it, but not the alternatives that are single values."""
    yield node
    named = [*node.get("properties", {}).values(), *node.get("$defs", {}).values()]
    holding = [each for each in node.get("anyOf", ()) if each.keys() & _HOLDS_OTHERS]
    for each in (*named, *holding, node.get("items"), node.get("additionalProperties")):
        if isinstance(each, dict):
            yield from _below(each)


def _improve(node: dict[str, Any]) -> None:
    """Take out what editors would show in vain, and let a variable stand for whatever is not any text anyway."""
    if "properties" not in node:
        node.pop("title", None)
    if isinstance(node.get("default"), (dict, list, type(None))):  # as the models keep it, not as the file has it
        node.pop("default", None)
    if "description" in node:
        node["description"] = " ".join(_LINK.sub(r"\1", node["description"]).split())
    if "patternProperties" in node:
        node["additionalProperties"] = False
    if not any(map(_is_restricted, node.get("anyOf", [node]))):
        return
    if "anyOf" not in node:
        plain = {key: node.pop(key) for key in list(node) if key not in _ABOUT}
        node["anyOf"] = [plain]
    node["anyOf"].append(_VARIABLE)


def _is_restricted(node: dict[str, Any]) -> bool:
    """Whether it is a single value other than any text; a union of types may be any text."""
    return node.get("type") in _RESTRICTED or bool(_RESTRICTIONS & node.keys())


def page() -> str:
    """Return the text of the published file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(page(), end="")
