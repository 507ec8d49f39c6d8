"""From a YAML file to the model of its sections, or to one error that lists every mistake."""

import os
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

C = TypeVar("C", bound=BaseModel)

# Path in the file, what is wrong there.
LocatedMistake = tuple[str, str]

_TOO_DEEP = "nested too deeply, or an anchor that contains itself"


class _UniqueKeysLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping (YAML 1.2, section 3.2.1.1), where PyYAML keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    problem=f"key {key.value!r} stands twice", problem_mark=key.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)


class ConfigError(Exception):
    """The configuration has mistakes; `mistakes` has a line for each."""

    def __init__(self, source: str, mistakes: list[str]) -> None:
        self.source = source
        self.mistakes = mistakes
        super().__init__(f"{source}: " + "; ".join(mistakes))


def load_config(path: Path | None, model: type[C]) -> C:
    """Read the configuration file at `path` into `model`; without a path, every default.

    Raises:
        ConfigError: with every mistake in the file, each with its place and the remedy.
    """
    if path is None:
        return model()
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeysLoader)  # noqa: S506  # a SafeLoader
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(str(path), [f"not valid YAML: {' '.join(str(error).split())}"]) from None
    except RecursionError:
        raise ConfigError(str(path), [_TOO_DEEP]) from None
    return parse_config({} if raw is None else raw, model, str(path))


def parse_config(raw: Any, model: type[C], source: str = "configuration") -> C:
    """Check a raw mapping and make a `model` of it.

    Raises:
        ConfigError: with every mistake in it.
    """
    if not isinstance(raw, dict):
        raise ConfigError(source, [f"must be a mapping of sections, not {type(raw).__name__}"])
    unset: list[LocatedMistake] = []
    try:
        data = _with_environment(raw, "", unset)
    except RecursionError:
        raise ConfigError(source, [_TOO_DEEP]) from None
    found: list[LocatedMistake] = []
    try:
        config = model.model_validate(data)
    except ValidationError as error:
        found = mistakes_of(error)
    else:
        if not unset:
            return config
    empty = {path for path, _ in unset}  # whatever else is wrong there is so only for want of a variable
    raise ConfigError(source, list(map(line_of, [*unset, *(mistake for mistake in found if mistake[0] not in empty)])))


def mistakes_of(error: ValidationError) -> list[LocatedMistake]:
    """Return what the configuration, or a section of it, refused: each place with the remedy."""
    return [_mistake(detail) for detail in error.errors(include_url=False)]


def line_of(mistake: LocatedMistake) -> str:
    """Write a mistake as one line."""
    path, text = mistake
    return f"{path}: {text}" if path else text


_VARIABLE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)}")


def _with_environment(value: Any, path: str, mistakes: list[LocatedMistake]) -> Any:
    """Replace `${env:NAME}` in every string below `value`; unset names are mistakes."""

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            mistakes.append((path, f"the environment variable {name} is not set"))
        return os.environ.get(name, "")

    if isinstance(value, str):
        return _VARIABLE.sub(replace, value)
    if isinstance(value, dict):
        return {key: _with_environment(item, _join(path, key), mistakes) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_environment(item, _join(path, index), mistakes) for index, item in enumerate(value)]
    return value


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


_BOUNDS = {
    "less_than_equal": ("at most", "le"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "greater_than": ("more than", "gt"),
}


def _mistake(detail: Any) -> LocatedMistake:
    path = ".".join(str(part) for part in detail["loc"])
    kind, given = detail["type"], detail["input"]
    if kind in _BOUNDS:
        word, key = _BOUNDS[kind]
        return path, f"must be {word} {detail['ctx'][key]:g} (got {given})"
    if kind == "missing":
        return path, "is required"
    if kind == "literal_error":
        return path, f"must be {detail['ctx']['expected']} (got {given!r})"
    text = detail["msg"].removeprefix("Value error, ")
    shown = "" if kind == "value_error" or isinstance(given, (dict, list)) else f" (got {given!r})"
    return path, (text if text[:2].isupper() else text[:1].lower() + text[1:]) + shown
