"""The body of an answer, and its forms."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What a server sends back."""

    content_type: str
    body: bytes
    status: int = 200

    @classmethod
    def json(cls, value: Any, status: int = 200) -> "Answer":
        """Make an answer of JSON."""
        return cls("application/json", json.dumps(value).encode(), status)


def events(*values: dict[str, Any]) -> bytes:
    """Write server-sent events, each named by its `type` if it has one."""
    return b"".join(
        (f"event: {value['type']}\n" if "type" in value else "").encode()
        + b"data: "
        + json.dumps(value).encode()
        + b"\n\n"
        for value in values
    )
