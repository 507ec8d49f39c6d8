"""The base of every section: immutable, unknown keys refused, secrets also read from files."""

from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator


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
