"""Sentences and their content words, as simple as a demo allows: for the retriever and for its model."""

import re
from itertools import groupby

_FUNCTION_WORDS = """
    a about all an and are as at be by can come cost could do does for from get had has have high how i in is
    it its long many may me much my need no not of off often on once one or our over should take than that the
    their them there they this to was we what when where which while who will with within would you your
"""
_WITHOUT_MEANING = frozenset(_FUNCTION_WORDS.split())
_SUFFIXES = ("ing", "ed", "es", "s")


def sentences(text: str) -> list[str]:
    """Split `text` at the ends of sentences and at line breaks."""
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]


def content_words(text: str) -> list[str]:
    """Return the lower-case words that carry meaning, without their endings, in order."""
    words = re.findall(r"[^\W_]+", text.lower())
    return [_stem(word) for word in words if _carries_meaning(word)]


def main_phrase(text: str) -> str:
    """Return the longest run of words that carry meaning, as it stands in `text` (the first of equals)."""
    words = re.findall(r"[^\W_]+(?:-[^\W_]+)*", text)
    runs = [list(run) for carries, run in groupby(words, _carries_meaning) if carries]
    return " ".join(max(runs, key=len, default=words))


def _carries_meaning(word: str) -> bool:
    return word.lower() not in _WITHOUT_MEANING


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word.removesuffix(suffix)
    return word.removesuffix("e") if len(word) > 3 else word
