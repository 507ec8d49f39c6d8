"""Takes the machine out of a recording: stack traces name its folders."""

import re
from typing import Any

from google.protobuf.message import Message

_KNOWN = re.compile(r"(?:/[\w.@+~-]+)+?/(?=(?:python3\.\d+|site-packages|node_modules|tests)/)")
_OTHER = re.compile(r"/(?:tmp|work|root|home|var/tmp)/[\w.@+~/-]*")
_APP = "/app"


def without_places(text: str) -> str:
    """Replace the folders of one machine by `/app`, up to a folder that every machine has."""
    return _OTHER.sub(_APP, _KNOWN.sub(f"{_APP}/", text))


def forget_places(message: Message) -> None:
    """Replace them in all texts of a message, in place."""
    for field, value in message.ListFields():
        items: Any = value
        if field.message_type:
            for item in [items] if isinstance(items, Message) else items:
                forget_places(item)
        elif field.type == field.TYPE_STRING and isinstance(items, str):
            setattr(message, field.name, without_places(items))
