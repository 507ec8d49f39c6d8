"""What of attributes is redacted, in the application and in the collector alike."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from qualitrace.redaction.redactor import Redactor, TextsSeen

# No secret and nothing personal has this form, which is the conventions'; a number between dots is an index.
_PLAIN_KEY = re.compile(r"[a-z_]+(?:(?:\.\d{1,3})?\.[a-z_]+)*(?:\.\d{1,3})?")
# They say who sends: receivers route and group by them.
_SENDER = re.compile(r"service\.\w+|telemetry\..+|deployment\.environment(?:\.name)?")
# Nine digits: shorter numbers are counts, and no pattern's. Only a name tells that one is a secret.
_LEAST_NUMBER = 10**8


@lru_cache(maxsize=1000)  # keys are few
def is_plain_key(key: str) -> bool:
    """Return whether the key of an attribute has the form of the conventions, in which nothing can hide."""
    return _PLAIN_KEY.fullmatch(key) is not None


def plain(attributes: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the attributes as a dictionary where they can be copied: OpenTelemetry's own takes a lock for each key."""
    copy = getattr(attributes, "copy", None)
    return copy() if copy else attributes or {}


def is_sender(key: str) -> bool:
    """Return whether an attribute of a resource says who sends."""
    return _SENDER.fullmatch(key) is not None


def redacted_key(redact: Redactor | TextsSeen, key: str) -> str:
    """Return the key of an attribute redacted."""
    return key if is_plain_key(key) else redact(key)


def is_count(number: int) -> bool:
    """Return whether a number is too short for any kind of personal data or secret."""
    return abs(number) < _LEAST_NUMBER


def redacted_number(redact: Redactor | TextsSeen, key: str, number: int) -> int | str:
    """Return the number, or what replaces it."""
    if is_count(number):
        return number
    text = str(number)
    return number if (found := redact.value(key, text)) == text else found


def redacted_bytes(redact: Redactor | TextsSeen, key: str, data: bytes) -> bytes:
    """Return bytes redacted, if they are a text in UTF-8, or have one in them."""
    text = data.decode(errors="replace")
    return data if (found := redact.value(key, text)) == text else found.encode(errors="replace")
