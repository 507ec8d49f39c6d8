"""From a YAML file to the model of its sections, or to one error that lists every mistake."""

import os
import re
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from qualitrace_collector.config.section import read_text, text_in
from qualitrace_collector.masking import masked

C = TypeVar("C", bound=BaseModel)

STDIN = Path("-")

# Path in the file, what is wrong there.
LocatedMistake = tuple[str, str]

_TOO_DEEP = "nested too deeply, or an anchor that contains itself"

# What the largest configurations have is hundreds; aliases (*) multiply it with every level.
MOST_VALUES = 100_000
_TOO_MANY = f"more than {MOST_VALUES:,} values, which aliases of aliases make"


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


def load_config(path: Path | None, model: type[C], needs: Collection[str] | None = None) -> C:
    """Read the configuration file at `path` into `model`; without a path, every default.

    Args:
        path: `-` is standard input.
        needs: the sections that the caller uses; None for all. Elsewhere a variable that is not set is not a mistake:
            what it stands for is left out, or the whole section if it is wrong without that.

    Raises:
        ConfigError: with every mistake in the file, each with its place and the remedy.
    """
    if path is None:
        return model()
    name = "<stdin>" if path == STDIN else str(path)
    try:
        text = text_in(sys.stdin.buffer) if path == STDIN else read_text(path)
        return load_text(text, name, model, needs)
    except OSError as error:
        raise ConfigError(name, [f"cannot be read: {error.strerror}"]) from None
    except ValueError as error:
        raise ConfigError(name, [f"not valid YAML: {_yaml_problem(error)}"]) from None


def load_text(text: str, source: str, model: type[C], needs: Collection[str] | None = None) -> C:
    """Read the text of a configuration file, whose name is `source`, as `load_config` does."""
    try:
        raw = yaml.load(text, _UniqueKeysLoader)  # noqa: S506  # a SafeLoader
        if _values_in(raw, {}) > MOST_VALUES:
            raise ConfigError(source, [_TOO_MANY])
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(source, [f"not valid YAML: {_yaml_problem(error)}"]) from None
    except RecursionError:
        raise ConfigError(source, [_TOO_DEEP]) from None
    return _parse({} if raw is None else raw, model, source, needs)


def _values_in(value: Any, known: dict[int, int]) -> int:
    """Count the values in one, each alias again; `known` has the counts of what was seen, by its id."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        inner: list[Any] = list(value.values()) if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_values_in(item, known) for item in inner)
    return known[id(value)]


def _parse(raw: Any, model: type[C], source: str, needs: Collection[str] | None) -> C:
    if needs is None or not isinstance(raw, dict):
        return parse_config(raw, model, source)
    try:
        spared = {key: less for key, item in raw.items() if key not in needs and (less := _set_only(item)) != item}
    except RecursionError:
        raise ConfigError(source, [_TOO_DEEP]) from None
    try:
        return parse_config(raw | spared, model, source)
    except ConfigError:
        return parse_config({key: item for key, item in raw.items() if key not in spared}, model, source)


def _set_only(value: Any) -> Any:
    """Leave out every string that refers to a variable that is not set."""
    if isinstance(value, dict):
        return {key: _set_only(item) for key, item in value.items() if not _is_unset(item)}
    if isinstance(value, list):
        return [_set_only(item) for item in value if not _is_unset(item)]
    return None if _is_unset(value) else value


def _is_unset(value: Any) -> bool:
    return isinstance(value, str) and any(name not in os.environ for name in _VARIABLE.findall(value))


def _yaml_problem(error: Exception) -> str:
    """Say what is wrong and where, without the line itself, which may hold a secret."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return masked(" ".join(str(error).split()))
    problem, mark = error.problem or "", error.problem_mark or error.context_mark
    for kind, sign in (("alias", "*"), ("anchor", "&"), ("tag", "!")):  # these problems name it
        if kind in problem:
            problem = f"a text that begins with {sign} needs quotes"
    return problem + (f" (line {mark.line + 1}, column {mark.column + 1})" if mark else "")


def parse_config(raw: Any, model: type[C], source: str = "configuration") -> C:
    """Check a raw mapping and make a `model` of it.

    Raises:
        ConfigError: with every mistake in it.
    """
    if not isinstance(raw, dict):
        raise ConfigError(source, [f"must be a mapping of sections, not {type(raw).__name__}"])
    unset: list[LocatedMistake] = []
    read: dict[str, dict[str, str]] = {}
    try:
        data = _with_environment(raw, "", unset, read)
    except RecursionError:
        raise ConfigError(source, [_TOO_DEEP]) from None
    found: list[LocatedMistake] = []
    try:
        config = model.model_validate(data)
    except ValidationError as error:
        found = [(path, _without_variables(path, text, read)) for path, text in mistakes_of(error)]
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
    return masked(f"{path}: {text}" if path else text)


_VARIABLE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)}")


def _with_environment(value: Any, path: str, mistakes: list[LocatedMistake], read: dict[str, dict[str, str]]) -> Any:
    """Replace `${env:NAME}` in every string below `value`.

    Args:
        mistakes: takes the names that are not set.
        read: takes the values of the others with their `${env:NAME}`, by the path where they stand.
    """

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            mistakes.append((path, f"the environment variable {name} is not set"))
            return ""
        read.setdefault(path, {})[os.environ[name]] = match[0]
        return os.environ[name]

    if isinstance(value, str):
        return _VARIABLE.sub(replace, value)
    if isinstance(value, dict):
        return {key: _with_environment(item, _join(path, key), mistakes, read) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_environment(item, _join(path, index), mistakes, read) for index, item in enumerate(value)]
    return value


_GIVEN = re.compile(r" \(got (.*)\)$", re.DOTALL)


def _without_variables(path: str, text: str, read: dict[str, dict[str, str]]) -> str:
    """Return the text of a mistake without the values of variables that stand at its path or below it."""
    for place, values in read.items():
        if not f"{place}.".startswith(f"{path}." if path else ""):
            continue
        given = _GIVEN.search(text)
        if given and (place == path or any(value and value in given[1] for value in values)):
            text = f"{text[: given.start()]} (got {', '.join(values.values())})"
        for value, name in values.items():
            text = text.replace(repr(value), repr(name))
    return text


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


_BOUNDS = {
    "less_than_equal": ("at most", "le"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "greater_than": ("more than", "gt"),
}


_FORMS = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "a mapping of keys"),
    **dict.fromkeys(("list_type", "tuple_type"), "a list"),
}


def _mistake(detail: Any) -> LocatedMistake:
    path = ".".join(str(part) for part in detail["loc"] if part != "[key]")  # pydantic's mark of a wrong key
    kind, given = detail["type"], detail["input"]
    if kind in _BOUNDS:
        word, key = _BOUNDS[kind]
        return path, f"must be {word} {detail['ctx'][key]:g} (got {given})"
    if kind == "missing":
        return path, "is required"
    if kind in _FORMS:  # what was given may be the secret that belongs into the form
        return path, f"must be {_FORMS[kind]}, not {type(given).__name__}"
    if kind == "literal_error":
        return path, f"must be {detail['ctx']['expected']} (got {given!r})"
    text = detail["msg"].removeprefix("Value error, ")
    shown = "" if kind == "value_error" or isinstance(given, (dict, list)) else f" (got {given!r})"
    return path, (text if text[:2].isupper() else text[:1].lower() + text[1:]) + shown
