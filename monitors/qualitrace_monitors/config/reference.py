"""Writes the page of settings: `python -m qualitrace_monitors.config.reference > docs/reference/configuration.md`."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import ByteSize
from pydantic.fields import FieldInfo

from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import Address, Duration, Identifier, duration_text
from qualitrace_monitors.alerts.condition import Condition
from qualitrace_monitors.alerts.settings import FalseAlarms
from qualitrace_monitors.config import Config
from qualitrace_monitors.notify.receivers import KINDS, Receiver

_HEAD = """\
# Configuration

One YAML file; without it every default holds ([configure](../how-to/configure.md)). This page is generated:
`python -m qualitrace_monitors.config.reference > docs/reference/configuration.md`.

- A duration is a number of seconds, or text such as `1h30m`; it is not negative.
- A size is a number of bytes, or text such as `1GiB`.
- A name is at most 60 letters, digits, `_` and `-`, and begins with a letter.
- A secret `x` may be given as `x_file`, the path of a file that holds it.
- `[]` in a key stands for each entry of a list, `<name>` for a name of your choice.
"""
_TYPES = {
    "str": "text", "float": "number", "int": "integer", "bool": "true or false", "Path": "path", "SecretStr": "secret",
    "AnyHttpUrl": "URL", "ByteSize": "size", "Condition": "condition", "FalseAlarms": "promise", "Match": "match",
    "tuple": "list", "dict": "mapping",
}  # fmt: skip
_VALIDATED_TYPES = {
    get_args(Duration)[1]: "duration",
    get_args(Address)[-1]: "host:port",
    get_args(Identifier)[-1]: "name",
}
"""Types that are known by the validator that they bring."""
_INFIXES: dict[Any, str] = {tuple: "[]", dict: ".<name>"}
_BOUNDS = ((Ge, "ge", "at least"), (Gt, "gt", "more than"), (Le, "le", "at most"), (Lt, "lt", "less than"))


def page() -> str:
    """Return the page in Markdown."""
    return "\n".join([_HEAD, *(_chapter(name, field) for name, field in Config.model_fields.items())])


def _chapter(name: str, field: FieldInfo) -> str:
    section = _section_in(field.annotation)
    is_plain_section = section is field.annotation is not None
    introduction = f"{field.description}\n\n" if is_plain_section else ""  # else it is in the first row
    chapter = f"## {name}\n\n{introduction}{_table(_rows(name, field))}"
    if section is Receiver:
        key = f"{name}{_INFIXES[dict]}"
        for kind, model in KINDS.items():
            rows = _table(row for below in _fields_of(model) for row in _rows(f"{key}.{below[0]}", below[1]))
            chapter += f"\n### kind: {kind}\n\n{(model.__doc__ or '').splitlines()[0]}\n\n{rows}"
    return chapter


def _table(rows: Iterable[list[str]]) -> str:
    lines = "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    return f"| key | type | default | bounds | meaning |\n|---|---|---|---|---|\n{lines}"


def _fields_of(model: type[Section]) -> Iterator[tuple[str, FieldInfo]]:
    """Yield a section's own fields before those of its bases."""
    own = [name for name in model.model_fields if name in model.__annotations__]
    for name in [*own, *(name for name in model.model_fields if name not in own)]:
        yield model.model_fields[name].alias or name, model.model_fields[name]


def _rows(key: str, field: FieldInfo) -> Iterator[list[str]]:
    """Yield the cells of a key, unless it is a plain section, and those of the keys below it."""
    section = _section_in(field.annotation)
    if section is not field.annotation:
        yield [
            f"`{key}`",
            _type_of(field.annotation, field.metadata),
            "required" if field.is_required() else _text_of(field.get_default(call_default_factory=True), field),
            ", ".join(_bounds(field.metadata)),
            " ".join((field.description or "").split()),  # a row is one line
        ]
    if section is not None and section is not Receiver:  # its kinds have tables of their own
        infix = _INFIXES.get(get_origin(field.annotation), "")
        for name, below in section.model_fields.items():
            yield from _rows(f"{key}{infix}.{below.alias or name}", below)


def _section_in(annotation: Any) -> type[Section] | None:
    """Return the section that a key holds: alone, optional, in a list or in a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return None if annotation in (Condition, FalseAlarms) else annotation  # they are written as text
    return next((section for argument in get_args(annotation) if (section := _section_in(argument))), None)


def _type_of(annotation: Any, metadata: list[Any]) -> str:
    for validator, word in _VALIDATED_TYPES.items():
        if validator in metadata:
            return word
    if get_origin(annotation) is Annotated:
        return _type_of(annotation.__origin__, list(annotation.__metadata__))
    arguments = [argument for argument in get_args(annotation) if argument is not type(None)]
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if get_origin(annotation) is tuple and not _section_in(annotation):
        return f"list of {_type_of(arguments[0], [])}"
    if type(None) in get_args(annotation):
        return "section" if _section_in(annotation) else _type_of(arguments[0], [])
    return _TYPES[(get_origin(annotation) or annotation).__name__]


def _text_of(default: Any, field: FieldInfo) -> str:
    """Write a default as the file would."""
    if default is None:
        return "none"
    if isinstance(default, ByteSize):
        return f"`{default.human_readable(separator='').replace('.0', '')}`"
    if _type_of(field.annotation, field.metadata) == "duration":
        return f"`{duration_text(default)}`"
    if isinstance(default, tuple):
        default = [getattr(entry, "name", entry) for entry in default]
    elif not isinstance(default, (int, float, dict)):
        default = str(default)
    return f"`{yaml.safe_dump(default, default_flow_style=True, width=1000).splitlines()[0]}`"


def _bounds(metadata: list[Any]) -> Iterator[str]:
    for mark in metadata:
        for kind, attribute, words in _BOUNDS:
            if isinstance(mark, kind):
                yield f"{words} {_number(getattr(mark, attribute))}"


def _number(bound: Any) -> str:
    return ByteSize(bound).human_readable(separator="").replace(".0", "") if bound >= 1 << 20 else f"{bound:g}"


if __name__ == "__main__":
    print(page(), end="")
