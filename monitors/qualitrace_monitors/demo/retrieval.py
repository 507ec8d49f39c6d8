"""The shop's handbook, and an index over its passages that can go stale."""

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import linear_kernel

_HANDBOOK = json.loads(files("qualitrace_monitors.demo").joinpath("handbook.json").read_text(encoding="utf-8"))
PASSAGES: dict[str, str] = _HANDBOOK["passages"]
"""The passages that the assistant may answer from, by title."""
QUESTIONS: dict[str, str] = _HANDBOOK["questions"]
"""What customers ask, with the title of the passage that answers it."""


class Index:
    """Ranks passages by TF-IDF of short runs of letters, which match the forms of a word without a stemmer.

    A stale index ranks as before, but it was built before a passage was added at the top of the handbook: its
    row numbers are off by one, so it returns the wrong texts.
    """

    def __init__(self, passages: Sequence[str]) -> None:
        self.is_stale = False
        self._passages = passages
        self._vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5))
        self._weights = self._vectorizer.fit_transform(passages)

    def search(self, query: str, limit: int = 2) -> list[str]:
        """Return up to `limit` passages that match `query`, the best first."""
        scores: Any = linear_kernel(self._weights, self._vectorizer.transform([query])).ravel()
        best: list[int] = [row for row in scores.argsort()[::-1][:limit] if scores[row] > 0]
        return [self._passages[row - 1 if self.is_stale else row] for row in best]
