"""Feedback with its fields redacted."""

import hashlib
from collections.abc import Mapping
from typing import Any

from qualitrace.redaction.redactor import Redactor

_FIELDS = ("name", "value", "comment", "user")


def redacted_feedback(redact: Redactor, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item of feedback with name, value, comment and user redacted.

    An id with something to redact in it becomes its digest: it still tells one opinion from the other.
    """
    made = dict(item)
    for field in _FIELDS:
        value = made.get(field)
        if isinstance(value, str):
            made[field] = redact(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found = redact(str(value))
            made[field] = value if found == str(value) else found
    if isinstance(given := made.get("id"), str) and redact(given) != given:
        made["id"] = hashlib.sha256(given.encode()).hexdigest()[:32]
    return made
