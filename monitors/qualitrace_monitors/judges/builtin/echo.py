"""How much of a question comes back in a text: what relevance and retrieval relevance share."""

import re
from typing import NamedTuple

from qualitrace_monitors.judges.builtin.evidence import Vocabulary
from qualitrace_monitors.judges.local.text import words
from qualitrace_monitors.judges.local.word import stem

_LETTERS = re.compile(r"[^\W\d_]+")
_ACRONYM = re.compile(r"\b[a-z]?[A-Z]{2,8}s?\b")


class Echo(NamedTuple):
    """What of a question's distinct content words comes back.

    Attributes:
        share: their weighted share, 0 to 1; longer words weigh more.
        shared: how many of them come back at least in part.
        total: how many there are.
    """

    share: float
    shared: int
    total: int


def echo(question: str, text: str) -> Echo:
    """Look for the question's content words in a text: by their stems, their first letters, or as an acronym."""
    known = Vocabulary()
    known.add([word for word in words(text) if not word.stop])
    by_acronym = _spelled_by_acronyms(question, text)
    asked = {word.stem: word for word in words(question) if not word.stop}
    credits = {name: 1.0 if name in by_acronym else known.credit(word) for name, word in asked.items()}
    weights = {name: min(len(name), 12) ** 0.8 for name in asked}
    share = sum(credits[name] * weights[name] for name in asked) / (sum(weights.values()) or 1.0)
    return Echo(share, sum(credit > 0 for credit in credits.values()), len(asked))


def _spelled_by_acronyms(question: str, text: str) -> set[str]:
    """Stems of the question's words that stand in the text as initials (`prostate cancer`: PC)."""
    acronyms = {match.group().removesuffix("s").lower() for match in _ACRONYM.finditer(text)}
    spelled: set[str] = set()
    everything = [token.lower() for token in _LETTERS.findall(question)]
    content = [token for token in everything if not all(word.stop for word in words(token))]
    for tokens in (everything, content):
        initials = "".join(token[0] for token in tokens)
        for acronym in acronyms:
            start = initials.find(acronym)
            if start >= 0:
                spelled.update(stem(token) for token in tokens[start : start + len(acronym)])
    return spelled
