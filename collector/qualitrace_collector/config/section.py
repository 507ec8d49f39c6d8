"""The base of every section: immutable, unknown keys refused, secrets also read from files."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

T = TypeVar("T")
Mistake = tuple[tuple[int | str, ...], str]
"""The place below the validated section, and what is wrong there."""


class Section(BaseModel):
    """A part of the configuration file.

    A field `x` that holds a secret may be given as `x_file`: the path of a file with the secret in it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        values: dict[str, Any] = dict(data)
        for name in cls.secret_fields():
            if path := values.pop(f"{name}_file", None):
                try:
                    secret = Path(str(path)).read_text(encoding="utf-8").strip()
                except (OSError, UnicodeDecodeError) as error:
                    reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
                    raise ValueError(f"{name}_file: cannot read {path}: {reason}") from None
                if not secret:
                    raise ValueError(f"{name}_file: {path} is empty")
                values[name] = secret
        return values

    @classmethod
    def secret_fields(cls) -> list[str]:
        """Names of the fields that hold a secret."""
        return [
            name
            for name, field in cls.model_fields.items()
            if field.annotation is SecretStr or SecretStr in get_args(field.annotation)
        ]


def validate_with(mistakes: Iterable[Mistake], validate: Callable[[Any], T], data: Any) -> T:
    """Validate `data`, and report `mistakes`, which concern several of its fields, together with those in one field.

    An "after" validator would see several fields only once each of them is right, and a "before" validator that raises
    hides the mistakes in the fields.

    Raises:
        ValidationError: with all of them.
    """
    found = [
        InitErrorDetails(type=PydanticCustomError("value_error", "{text}", {"text": text}), loc=place, input=data)
        for place, text in mistakes
    ]
    try:
        valid = validate(data)
    except ValidationError as error:
        found += map(_again, error.errors(include_url=False))
    else:
        if not found:
            return valid
    raise ValidationError.from_exception_data("configuration", found)


def _again(detail: Any) -> InitErrorDetails:
    """Make an error of pydantic's again, as a custom one, since some of its types cannot be made."""
    error = PydanticCustomError(detail["type"], "{text}", {**detail.get("ctx", {}), "text": detail["msg"]})
    return InitErrorDetails(type=error, loc=detail["loc"], input=detail["input"])
