"""The base of every section: immutable, unknown keys refused with a hint, secrets also read from files."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Self, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from qualitrace_collector.masking import remember_secret

LONGEST_FILE = 1 << 20
"""Bytes of a configuration or a secret: a device, or a log, has no end or takes all memory."""

T = TypeVar("T")

# The place below the validated section, and what is wrong there.
Mistake = tuple[tuple[int | str, ...], str]


def read_text(path: Path) -> str:
    """Read a file of the configuration.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not UTF-8 (UnicodeDecodeError), or too long.
    """
    with path.open("rb") as file:
        return text_in(file)


def text_in(file: BinaryIO) -> str:
    """Read a file of the configuration that is open; raises as `read_text` does."""
    data = file.read(LONGEST_FILE + 1)
    if len(data) > LONGEST_FILE:
        raise ValueError(f"longer than {LONGEST_FILE >> 20} MiB")
    return data.decode("utf-8")


class Section(BaseModel):
    """A part of the configuration file.

    A field `x` that holds a secret may be given as `x_file`: the path of a file with the secret in it.

    Attributes:
        no_longer: keys of earlier versions, and what to do instead.
    """

    no_longer: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    _secret_files: Mapping[str, str] = PrivateAttr(default_factory=dict[str, str])

    @property
    def secret_files(self) -> Mapping[str, str]:
        """The paths of the files that secrets were read from, by the secrets' names."""
        return self._secret_files

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, data: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict):
            return validate(data)
        given = {str(key): value for key, value in data.items()}
        values = cls._with_secrets(dict(given))
        mistakes = list(cls._hide_secrets(values))
        if cls.model_config.get("extra") == "forbid":
            # Pydantic's own error for an unknown key does not say which keys its model has.
            documented = {name: field.alias or name for name, field in cls.model_fields.items()}
            unknown = [key for key in values if key not in documented.values()]
            mistakes += [((), cls.no_longer.get(key) or _unknown_key(key, documented)) for key in unknown]
            values = {key: values[key] for key in values if key not in unknown}
        section = validate_with(mistakes, validate, values, fields_first=True)
        for name in cls.secret_fields():
            if isinstance(secret := getattr(section, name, None), SecretStr):
                remember_secret(secret.get_secret_value())
        files = {name: given.get(f"{name}_file") for name in cls.secret_fields()}
        if files := {name: str(path) for name, path in files.items() if path is not None}:
            section._secret_files = files
        return section

    @classmethod
    def _with_secrets(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Return `values` with the secrets that their `…_file` keys name."""
        for name in cls.secret_fields():
            path = values.pop(f"{name}_file", None)
            if path == "":
                raise ValueError(f"{name}_file: names no file; leave the key out for no secret")
            if path is not None:
                if values.get(name) is not None:
                    raise ValueError(f"{name}_file: {name} is given, too; leave one of them out")
                try:
                    secret = read_text(Path(str(path))).strip()
                except (OSError, ValueError) as error:
                    reason = "not UTF-8 text" if isinstance(error, UnicodeError) else getattr(error, "strerror", error)
                    raise ValueError(f"{name}_file: cannot read {path}: {reason}") from None
                if not secret:
                    raise ValueError(f"{name}_file: {path} is empty")
                values[name] = secret
        return values

    @classmethod
    def _hide_secrets(cls, values: dict[str, Any]) -> Iterator[Mistake]:
        """Wrap the secrets in `values`, so that no error shows them; take out and yield those that are not text."""
        for name in cls.secret_fields():
            value = values.get(name)
            if isinstance(value, str):
                values[name] = SecretStr(value)
            elif value is not None and not isinstance(value, SecretStr):
                del values[name]
                yield (name,), "must be text; put it in quotes"

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the keys `…_file`, each in place of its secret."""
        schema = handler(core_schema)
        section = handler.resolve_ref_schema(schema)
        for name in cls.secret_fields():
            in_file = f"{name}_file"
            text = f"The path of a file that holds `{name}`."
            section["properties"][in_file] = {"type": "string", "description": text}
            one_of_them: JsonSchemaValue = {"not": {"required": [name, in_file]}}
            if name in section.get("required", ()):
                section["required"].remove(name)
                one_of_them = {"oneOf": [{"required": [name]}, {"required": [in_file]}]}
            section.setdefault("allOf", []).append(one_of_them)
        return schema

    @classmethod
    def secret_fields(cls) -> list[str]:
        """Names of the fields that hold a secret."""
        return [name for name, field in cls.model_fields.items() if _is_secret(field.annotation)]


def _is_secret(annotation: Any) -> bool:
    """Whether it is SecretStr, or has it in a union or below `Annotated`."""
    return annotation is SecretStr or any(map(_is_secret, get_args(annotation)))


def _unknown_key(key: str, documented: dict[str, str]) -> str:
    """Say which key is meant; `documented` gives the keys by the names that the code has for them."""
    known = list(documented.values())
    close = [documented[key]] if key in documented else difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(sorted(known))}"
    return f"unknown key {key!r}, {hint}"


def validate_with(
    mistakes: Iterable[Mistake], validate: Callable[[Any], T], data: Any, *, fields_first: bool = False
) -> T:
    """Validate `data`, and report `mistakes`, which concern several of its fields, together with those in one field.

    An "after" validator would see several fields only once each of them is right, and a "before" validator that raises
    hides the mistakes in the fields.

    Raises:
        ValidationError: with all of them; those in one field come second, unless `fields_first`.
    """
    found = [
        InitErrorDetails(type=PydanticCustomError("value_error", "{text}", {"text": text}), loc=place, input=data)
        for place, text in mistakes
    ]
    if not found:
        return validate(data)
    try:
        validate(data)
    except ValidationError as error:
        in_fields = [_again(detail) for detail in error.errors(include_url=False)]
        found = in_fields + found if fields_first else found + in_fields
    raise ValidationError.from_exception_data("configuration", found)


def _again(detail: Any) -> InitErrorDetails:
    """Make an error of pydantic's again, as a custom one, since some of its types cannot be made."""
    error = PydanticCustomError(detail["type"], "{text}", {**detail.get("ctx", {}), "text": detail["msg"]})
    return InitErrorDetails(type=error, loc=detail["loc"], input=detail["input"])
