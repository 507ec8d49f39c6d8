"""A text under replacements, which knows where each part of it stood in the original."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import NamedTuple

_ENDS = 20  # characters at either end of a part by which its place is found


class _Edit(NamedTuple):
    """A replaced piece: its place after and before the replacement."""

    start: int
    end: int
    old_start: int
    old_end: int


class EditedText:
    """A text that is changed step by step; `text` is as it is now."""

    def __init__(self, original: str) -> None:
        self.text = original
        self._original = original
        self._steps: list[list[_Edit]] = []

    def replace(self, pattern: re.Pattern[str], new: str | Callable[[re.Match[str]], str]) -> None:
        """Replace each match by a text, or by what a function makes of it."""
        edits: list[_Edit] = []
        parts: list[str] = []
        at = shift = 0
        for match in pattern.finditer(self.text):
            old, made = match[0], new if isinstance(new, str) else new(match)
            if made == old:
                continue
            start, end = match.span()
            edits.append(_Edit(start + shift, start + shift + len(made), start, end))
            shift += len(made) - len(old)
            parts += (self.text[at:start], made)
            at = end
        if edits:
            self._steps.append(edits)
            self.text = "".join(parts) + self.text[at:]

    def original(self, start: int, end: int) -> str:
        """Return what stands in the original for the characters from `start` to `end`."""
        for edits in reversed(self._steps):
            start = _before(edits, start, is_end=False)
            end = _before(edits, end, is_end=True)
        return self._original[start:end]

    def original_of(self, part: str) -> str:
        """Return what stands in the original for a part of the text; the part itself if it was put together."""
        start = self.text.find(part[:_ENDS])
        end = self.text.find(part[-_ENDS:], max(start, start + len(part) - _ENDS))
        return part if start < 0 or end < 0 else self.original(start, end + len(part[-_ENDS:]))


def _before(edits: list[_Edit], place: int, *, is_end: bool) -> int:
    """Return the place before a step's edits; within a replaced piece, its start or its end."""
    if is_end:
        number = bisect_left(edits, place, key=lambda edit: edit.start) - 1
    else:
        number = bisect_right(edits, place, key=lambda edit: edit.start) - 1
    if number < 0:
        return place
    edit = edits[number]
    if place < edit.end or (is_end and place == edit.end):
        return edit.old_end if is_end else edit.old_start
    return place - edit.end + edit.old_end
