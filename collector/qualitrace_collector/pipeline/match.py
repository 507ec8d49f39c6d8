"""`match`: which traces a judge, a rate or an alert rule is about, by their service and attributes."""

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Self

from pydantic import ConfigDict, GetJsonSchemaHandler, ModelWrapValidatorHandler, RootModel, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from qualitrace_collector.config.section import Mistake, validate_with
from qualitrace_collector.sample import METADATA, ROOT_METADATA

# Each trace is compared with all of them.
MAX_KEYS, MAX_PATTERNS, MAX_CHARACTERS = 10, 50, 200

# More of a value is content, and no name of anything.
MAX_VALUE = 1000

# What `fnmatch` reads in a pattern as other than itself.
_WILD = frozenset("*?[")

# What OpenTelemetry calls the fields that have a short name here.
ALIASES = {"service.name": "service", **METADATA, **ROOT_METADATA}
FIELDS = tuple(dict.fromkeys(("service", "model", "retriever", *ALIASES.values())))

# Returns the text of a field or attribute; None if there is none.
Find = Callable[[str], str | None]


class Match(RootModel[Mapping[str, tuple[str, ...]]]):
    """Patterns by the name of a field or an attribute; a trace must fit one of each.

    A pattern is a name or a glob (`*`, `?`, `[…]`), and upper and lower case differ. What a trace lacks fits none.
    """

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, data: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(data, dict):
            return validate_with(_mistakes(data), validate, {_name(key): _patterns(data[key]) for key in data})
        return validate(data)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return what the file may have, which is more than the model keeps: one pattern, and no text."""
        pattern = {"type": ["string", "number", "boolean"]}
        patterns = {"type": "array", "items": pattern, "minItems": 1, "maxItems": MAX_PATTERNS}
        keys = {"additionalProperties": {"anyOf": [pattern, patterns]}, "minProperties": 1, "maxProperties": MAX_KEYS}
        return {"type": "object", **keys}

    def holds(self, find: Find) -> bool:
        """Whether what `find` returns fits."""
        return all(_fits(find(name), patterns) for name, patterns in self.root.items())

    def __str__(self) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {' or '.join(patterns)}" for name, patterns in self.root.items())

    def may_hold_in(self, service: str) -> bool:
        """Whether traces of this service may fit."""
        return "service" not in self.root or _fits(service, self.root["service"])

    @property
    def is_of_services(self) -> bool:
        """Whether all traces of a service fit, or none."""
        return self.root.keys() <= {"service"}

    def names_beyond(self, known: Collection[str]) -> list[str]:
        """Return the names that are none of the known ones."""
        return [name for name in self.root if name not in known]


def is_glob(pattern: str) -> bool:
    """Return whether several values may fit a pattern."""
    return not _WILD.isdisjoint(pattern)


def _fits(value: str | None, patterns: tuple[str, ...]) -> bool:
    return value is not None and any(fnmatchcase(value[:MAX_VALUE], pattern) for pattern in patterns)


def _name(key: Any) -> str:
    return ALIASES.get(str(key), str(key))


def _patterns(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return tuple(str(item).lower() if isinstance(item, bool) else str(item) for item in values)


def _mistakes(data: dict[Any, Any]) -> Iterator[Mistake]:
    if not data:
        yield (), "names nothing: leave it out for all traces"
    if len(data) > MAX_KEYS:
        yield (), f"has more than {MAX_KEYS} keys"
    names = [_name(key) for key in data]
    for key, value in data.items():
        place = (str(key),)
        if len(str(key)) > MAX_CHARACTERS:
            yield (), f"a name of more than {MAX_CHARACTERS} characters: {str(key)[:20]}…"
        elif names.count(_name(key)) > 1:
            yield place, f"{_name(key)!r} stands twice, under another of its names; give a list"
        elif _name(key) == key and (close := _meant(str(key))):
            yield place, f"no attribute is called so, did you mean {close!r}?"
        else:
            yield from ((place, text) for text in _value_mistakes(value))


def _meant(key: str) -> str | None:
    """Return the well-known name that a key is nearly."""
    known = [*FIELDS, *ALIASES]
    return None if key in known else next(iter(difflib.get_close_matches(key, known, n=1, cutoff=0.85)), None)


def _value_mistakes(value: Any) -> Iterator[str]:
    values = value if isinstance(value, (list, tuple)) else [value]
    if not values:
        yield "an empty list fits no trace: give a name or a glob such as `shop-*`"
    if len(values) > MAX_PATTERNS:
        yield f"has more than {MAX_PATTERNS} values: a glob such as `shop-*` stands for many"
    for item in values:
        if not isinstance(item, (str, int)):
            yield f"must be a name or a glob, or a list of them, as text in quotes (got {item!r})"
        elif not 0 < len(str(item)) <= MAX_CHARACTERS:
            yield f"a name or a glob has 1 to {MAX_CHARACTERS} characters (got {str(item)[:20]!r})"
