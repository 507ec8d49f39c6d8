"""OTLP's JSON as its specification writes it."""

import base64
import json
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message


def to_otlp_json(message: Message) -> bytes:
    """Write OTLP's JSON from protobuf's: ids in hexadecimal, enums as integers."""

    def with_hex_ids(value: Any) -> Any:
        if isinstance(value, list):
            return [with_hex_ids(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            key: base64.b64decode(item).hex() if key.lower().endswith(("traceid", "spanid")) else with_hex_ids(item)
            for key, item in value.items()
        }

    fields = json_format.MessageToDict(message, use_integers_for_enums=True)
    return json.dumps(with_hex_ids(fields)).encode()
