"""How each kind of setting is read, from text or from a keyword's value; what is wrong raises ValueError."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.util.re import parse_env_headers

from qualitrace.instruments import LIBRARIES

TRACES_PATH = "/v1/traces"
FEEDBACK_PATH = "/v1/feedback"


def text(value: Any) -> str:
    """Read text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"must be text, not {value!r}")
    return value.strip()


def url(value: Any) -> str:
    """Read an http or https URL."""
    found = text(value)
    parts = urlsplit(found)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"must be a URL such as http://127.0.0.1:4318, not {found!r}")
    _ = parts.port  # raises ValueError when it is no port number
    return found


def base_url(value: Any) -> str:
    """Read a URL and append the path of OTLP traces, if it is not there."""
    found = url(value).rstrip("/")
    return found if found.endswith(TRACES_PATH) else found + TRACES_PATH


def flag(value: Any) -> bool:
    """Read true or false."""
    word = str(value).strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    raise ValueError(f"must be true or false, not {value!r}")


def content_mode(value: Any) -> bool:
    """Read OpenTelemetry's mode of content capture: does it put content on spans?"""
    return text(value).lower() in ("span_only", "span_and_event", "true")


def ratio(value: Any) -> float:
    """Read a number from 0 to 1."""
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"must be between 0 and 1, not {value!r}")
    return number


def seconds(value: Any) -> float:
    """Read a duration in seconds, above 0 and up to an hour."""
    number = float(value)
    if not 0 < number <= 3600:
        raise ValueError(f"must be more than 0 and at most 3600 seconds, not {number:g}")
    return number


def count(value: Any) -> int:
    """Read a positive whole number."""
    number = int(value)
    if number < 1:
        raise ValueError(f"must be at least 1, not {value!r}")
    return number


def headers(value: Any) -> Mapping[str, str]:
    """Read a mapping, or `key=value,key=value` in percent-encoding."""
    if isinstance(value, Mapping):
        return {str(key): str(item) for key, item in value.items()}
    if not isinstance(value, str):  # a secret may be in it: it is not shown
        raise ValueError("must be a mapping, or text such as key=value,key=value")
    return parse_env_headers(value, liberal=True)


def libraries(value: Any) -> tuple[str, ...]:
    """Read names of `LIBRARIES`, as a sequence or separated by commas; `none` is none of them."""
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else list(value)
    names = [name for name in names if name and name != "none"]
    if unknown := [name for name in names if name not in LIBRARIES]:
        raise ValueError(f"unknown library {unknown[0]!r}; known: {', '.join(LIBRARIES)}, or none")
    return tuple(names)


def all_but(value: Any) -> tuple[str, ...]:
    """Read the names that are *not* to be traced; `*` is all of them."""
    disabled = {name.strip() for name in text(value).split(",")}
    return () if "*" in disabled else tuple(name for name in LIBRARIES if name not in disabled)
