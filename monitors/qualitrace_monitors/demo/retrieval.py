"""The shop's handbook and a search index over it, which can go stale."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files

from qualitrace_monitors.demo.words import content_words

_SATURATION = 1.2
_LENGTH_WEIGHT = 0.75
_STALE_SHIFT = 1


@dataclass(frozen=True, slots=True)
class Handbook:
    """The passages the assistant may answer from, and questions with the title of the passage each needs."""

    titles: list[str]
    passages: list[str]
    questions: dict[str, str]


def load_handbook() -> Handbook:
    """Read the handbook that ships with the demo."""
    raw = json.loads(files("qualitrace_monitors.demo").joinpath("handbook.json").read_text(encoding="utf-8"))
    return Handbook(
        titles=[entry["title"] for entry in raw["passages"]],
        passages=[entry["text"] for entry in raw["passages"]],
        questions={entry["question"]: entry["passage"] for entry in raw["questions"]},
    )


class Index:
    """Ranks passages by Okapi BM25 (k1 = 1.2, b = 0.75, as Lucene has them).

    A `stale` index ranks as before, but it was built before a passage was added at the top of the handbook: its
    row numbers are off by one, so it returns the wrong texts.
    """

    def __init__(self, passages: list[str]) -> None:
        self.stale = False
        self._passages = passages
        self._counts = [Counter(content_words(passage)) for passage in passages]
        self._mean_length = sum(count.total() for count in self._counts) / len(passages)
        documents = Counter(word for count in self._counts for word in count)
        self._weights = {word: math.log(1 + (len(passages) - n + 0.5) / (n + 0.5)) for word, n in documents.items()}

    def search(self, query: str, limit: int = 3) -> list[str]:
        """Return up to `limit` passages that match `query`, best first."""
        words = content_words(query)
        scores = {row: self._score(words, row) for row in range(len(self._passages))}
        matching = [row for row, score in scores.items() if score > 0]
        ranked = sorted(matching, key=scores.__getitem__, reverse=True)
        shift = _STALE_SHIFT if self.stale else 0
        return [self._passages[(row + shift) % len(self._passages)] for row in ranked[:limit]]

    def _score(self, words: list[str], row: int) -> float:
        count = self._counts[row]
        norm = _SATURATION * (1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * count.total() / self._mean_length)
        return sum(
            self._weights[word] * count[word] * (_SATURATION + 1) / (count[word] + norm)
            for word in words
            if word in count
        )
