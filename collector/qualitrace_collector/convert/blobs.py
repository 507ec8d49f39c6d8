"""Pictures, sounds and files in recorded content, which would make traces of many megabytes.

Long base64 is replaced by a reference:
`blob:<media type>;size=<bytes>;sha256=<hex digits of the decoded bytes>`.
"""

import binascii
import hashlib
import re
from base64 import b64decode, b64encode
from typing import Any

# Shorter base64 stays: it costs little, and may not be base64 at all.
MIN_CHARACTERS = 1024

# Levels of a value in which base64 is looked for.
MAX_DEPTH = 200

_BLOCK = MIN_CHARACTERS // 2
_IN_BLOB = re.compile(rf"[A-Za-z0-9+/_-]{{{_BLOCK}}}")
_BASE64 = re.compile(
    r"(?:data:(?P<type>[\w.+-]+/[\w.+-]+)(?:;[\w=.+-]+)*?;base64,)?"
    rf"(?<![A-Za-z0-9+/_-])(?P<data>[A-Za-z0-9+/_-]{{{MIN_CHARACTERS},}}={{0,2}})"
)
_URL_SAFE = str.maketrans("-_", "+/")
_UNKNOWN_TYPE = "application/octet-stream"
_MAGIC = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"%PDF": "application/pdf",
    b"RIFF": "audio/wav",
    b"ID3": "audio/mpeg",
    b"OggS": "audio/ogg",
}


def without_blobs(value: Any, depth: int = 0) -> Any:
    """Return the value with every long run of base64, and every long byte string, replaced by its reference."""
    if isinstance(value, str):
        if len(value) < MIN_CHARACTERS or not _may_hold_blob(value):
            return value
        return _BASE64.sub(_reference_of, value)
    if isinstance(value, bytes):
        return _reference(value) if len(value) >= MIN_CHARACTERS else b64encode(value).decode()
    if isinstance(value, list):
        is_vector = value and isinstance(value[0], (int, float))
        return value if is_vector or depth > MAX_DEPTH else [without_blobs(item, depth + 1) for item in value]
    if isinstance(value, dict) and depth <= MAX_DEPTH:
        return {key: without_blobs(item, depth + 1) for key, item in value.items()}
    return value


def _may_hold_blob(text: str) -> bool:
    # A run of twice a block's length covers at least one block in full, so blocks are enough to look at.
    return any(_IN_BLOB.match(text, at) for at in range(0, len(text), _BLOCK))


def _reference(data: bytes, media_type: str = "") -> str:
    """Describe bytes by media type, size and hash."""
    kind = media_type or next((name for magic, name in _MAGIC.items() if data.startswith(magic)), _UNKNOWN_TYPE)
    return f"blob:{kind};size={len(data)};sha256={hashlib.sha256(data).hexdigest()}"


def _reference_of(match: re.Match[str]) -> str:
    text = match["data"].translate(_URL_SAFE)
    try:
        data = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return match[0]
    return _reference(data, match["type"] or "")
