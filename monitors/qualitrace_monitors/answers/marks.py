"""Finds in a text what the rationales of judges quote of it: the sentence that failed."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

LEAST_LETTERS = 4
"""Letters and digits of a quotation: a shorter one stands by chance in many texts."""
MOST_QUOTATIONS = 40
"""Looked for in a text."""

# A rationale that is cut may lack the mark at the end.
_QUOTED = re.compile(r"“([^“”]+)(?:”|$)")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a text, and the judges whose rationales quote it."""

    text: str
    judges: tuple[str, ...] = ()


@dataclass(slots=True)
class _Letters:
    """The letters and digits of a text in lower case, and where each stands: judges quote without line breaks, list
    numbers and Markdown's signs.
    """

    letters: str = ""
    places: list[int] = field(default_factory=list[int])

    @classmethod
    def of(cls, text: str) -> "_Letters":
        found = [(lower, place) for place, letter in enumerate(text) if letter.isalnum() for lower in letter.lower()]
        return cls("".join(letter for letter, _ in found), [place for _, place in found])


def marked(text: str, rationales: Iterable[tuple[str, str]]) -> list[Part]:
    """Split a text where the rationales, given with their judges' names, quote it."""
    quotations = [(judge, quoted) for judge, rationale in rationales for quoted in _QUOTED.findall(rationale)]
    whole = _Letters.of(text) if quotations else _Letters()
    spans: list[tuple[int, int, str]] = []
    for judge, quoted in quotations[:MOST_QUOTATIONS]:
        wanted = _Letters.of(quoted).letters
        at = whole.letters.find(wanted) if len(wanted) >= LEAST_LETTERS else -1
        if at >= 0:
            end = whole.places[at + len(wanted) - 1] + 1
            spans.append((whole.places[at], end + _marks_behind(text, end), judge))
    edges = sorted({0, len(text), *(edge for start, end, _ in spans for edge in (start, end))})
    return [
        Part(text[start:end], tuple(dict.fromkeys(judge for low, high, judge in spans if low <= start and end <= high)))
        for start, end in pairwise(edges)
    ]


def _marks_behind(text: str, at: int) -> int:
    """Return how many marks end the sentence that reaches to `at`."""
    return next((count for count in range(3) if text[at + count : at + count + 1] not in tuple(".!?。！？।")), 3)
