"""Cuts texts that are too long for an export. It keeps the start and the end: a question may stand at either."""

import json
from collections.abc import Callable
from typing import Any

from qualitrace.serialize import to_json

# For what no cut should split in two: the pieces reach so much further while `redact` reads them. A key block of
# 8,192 bits has 6,400 characters.
MARGIN = 8_192
_SHORTEST_LEAF = 64
# Beyond it, parsing would hold up the app for seconds.
_LONGEST_JSON = 1 << 28


def shorten(text: str, limit: int, redact: Callable[[str], str] | None = None) -> str:
    """Return `text`, or if it has more than `limit` characters, its start, a mark and its end.

    JSON stays JSON: the long texts in it are cut, so that the last message of a conversation survives a huge first one.

    Args:
        text: any text.
        limit: in characters.
        redact: applied to the pieces before they are cut, so that no half of a secret stays.
    """
    if len(text) <= limit:
        return text
    if text.lstrip()[:1] in ("{", "[") and len(text) <= _LONGEST_JSON:
        try:
            return _shorten_json(json.loads(text), limit, redact)
        except (ValueError, RecursionError):
            pass  # no JSON after all
    return _cut(text, limit, redact)


def _shorten_json(value: Any, limit: int, redact: Callable[[str], str] | None) -> str:
    leaf_limit = limit // 2
    while leaf_limit >= _SHORTEST_LEAF:
        value = _shorten_leaves(value, leaf_limit, redact)
        text = json.dumps(value, ensure_ascii=False)
        if len(text) <= limit:
            return text
        leaf_limit //= 2
    return shorten(to_json(value), limit)  # countless small values


def _shorten_leaves(value: Any, limit: int, redact: Callable[[str], str] | None) -> Any:
    if isinstance(value, str):
        return shorten(value, limit, redact)
    if isinstance(value, list):
        return [_shorten_leaves(item, limit, redact) for item in value]
    if isinstance(value, dict):
        return {key: _shorten_leaves(item, limit, redact) for key, item in value.items()}
    return value


def _cut(text: str, limit: int, redact: Callable[[str], str] | None) -> str:
    mark = f"…[{len(text) - limit} characters cut]…"
    half = max(0, limit - len(mark)) // 2
    if redact is None:
        return text[:half] + mark + text[len(text) - half :]
    head, tail = redact(text[: half + MARGIN]), redact(text[-half - MARGIN :])
    return head[:-MARGIN][:half] + mark + tail[MARGIN:][-half:]
