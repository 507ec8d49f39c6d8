"""The configuration that is in force, with every default and without secrets, as the file would have it.

The file may be written again from it: it gives the same configuration, but for its secrets.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import AnyUrl, ByteSize, SecretStr, TypeAdapter
from pydantic.fields import FieldInfo

from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import Duration, duration_text
from qualitrace_collector.masking import MASK, is_secret_name, masked
from qualitrace_collector.pipeline.match import Match
from qualitrace_monitors.alerts.condition import Condition
from qualitrace_monitors.alerts.settings import AlertRule, FalseAlarms
from qualitrace_monitors.config import Config

_DURATION = get_args(Duration)[1]
_SIZE: TypeAdapter[ByteSize] = TypeAdapter(ByteSize)


def effective(config: Config) -> dict[str, Any]:
    """Return every setting as YAML or JSON may write it; what is not set, and has no default, is left out.

    A secret is `***`, or the path of its file under its key `…_file`. Texts and URLs have no credentials.
    """
    shown = _section(config)
    shown["mlflow"]["tracking_uri"] = masked(config.tracking_uri)  # by default it follows from data_dir
    return shown


def _section(section: Section) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        key, value = field.alias or name, getattr(section, name)
        if value is None or (isinstance(section, AlertRule) and not section.is_of_use(name)):
            continue
        if name in section.secret_files:
            shown[f"{key}_file"] = section.secret_files[name]
        else:
            shown[key] = duration_text(value) if value and _is_duration(field) else _plain(value)
    return shown


def _is_duration(field: FieldInfo) -> bool:
    return _DURATION in field.metadata


def _plain(value: Any) -> Any:
    shown: Any = value
    match value:
        case Condition() | FalseAlarms():
            shown = str(value)
        case Match():
            shown = _plain(value.root)
        case Section():
            shown = _section(value)
        case SecretStr():
            shown = MASK
        case ByteSize():
            shown = size_text(value)
        case str() | Path() | AnyUrl():
            shown = masked(str(value))
        case Mapping():
            shown = {str(key): MASK if _is_secret(key, inner) else _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            shown = [_plain(inner) for inner in value]
        case _:
            pass
    return shown


def _is_secret(key: Any, value: Any) -> bool:
    return isinstance(value, str) and is_secret_name(str(key))


def size_text(size: ByteSize) -> str | int:
    """Write a size with the largest unit that gives it exactly, else in bytes."""
    text = size.human_readable(separator="").replace(".0", "")
    return text if _SIZE.validate_python(text) == size else int(size)
