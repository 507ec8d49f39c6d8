"""Makes OpenTelemetry's writing of messages cheaper where Python is slow at it, before 3.12."""

import sys
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import lru_cache
from types import NoneType
from typing import Any

from qualitrace.quiet import never_raises

TESTED = ("1.3b0",)  # of opentelemetry.util.genai
_UNCHANGING = frozenset({str, int, float, bool, bytes, NoneType})


@never_raises
def quicken_messages(module: Any) -> None:
    """Replace `asdict` in `opentelemetry.util.genai._invocation`."""
    from opentelemetry.util.genai.version import __version__

    if sys.version_info < (3, 12) and __version__ in TESTED:
        module.asdict = as_dict


def as_dict(item: Any) -> dict[str, Any]:
    """Do what `dataclasses.asdict` does, which before Python 3.12 makes a deep copy of each text."""
    return {name: _plain(getattr(item, name)) for name in _names(type(item))}


@lru_cache(maxsize=100)  # the types of messages and their parts are few
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _plain(value: Any) -> Any:
    if type(value) in _UNCHANGING:
        return value
    if type(value) is list:
        return [_plain(item) for item in value]
    return as_dict(value) if is_dataclass(type(value)) else asdict(_Holder(value))["value"]


@dataclass
class _Holder:
    value: Any
