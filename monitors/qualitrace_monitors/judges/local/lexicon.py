"""How common an English word is, and the words in a run of letters that lost its blanks.

`commonness.npz` holds a 24-bit hash and the frequency of each of the 57,000 commonest English words of wordfreq 3.1.1
(https://github.com/rspeer/wordfreq, data CC-BY-SA-4.0), and no words.
"""

import zlib
from functools import cache, lru_cache
from importlib.resources import files

from qualitrace_monitors.judges.local.text import KNOWN_WORDS

LONGEST_WORD = 20  # letters of a word that is looked for in a run
_HASH = 0xFFFFFF
_STEPS_OF_ZIPF = 25  # one step of the file's numbers is a 25th of the Zipf scale
_TOP = 9.0  # Zipf's scale: the decimal logarithm of occurrences in a billion words
_LETTER = 1.0  # what each letter of an unknown word costs, beyond the rarest known word


@lru_cache(KNOWN_WORDS)
def commonness(word: str) -> float:
    """Return a lower-case word's frequency on the Zipf scale (the: 7.7, idiot: 4.4); 0 for an unknown word."""
    return _frequencies().get(zlib.crc32(word.encode("utf-8", "surrogatepass")) & _HASH, 0) / _STEPS_OF_ZIPF


def split(run: str) -> list[str]:
    """Split a run of letters into the likeliest words, in time linear in its length."""
    costs, lengths = [0.0], [0]
    lower = run.lower()
    for end in range(1, len(run) + 1):
        best = min(
            (costs[end - length] + _cost(lower[end - length : end]), length)
            for length in range(1, min(end, LONGEST_WORD) + 1)
        )
        costs.append(best[0])
        lengths.append(best[1])
    words: list[str] = []
    end = len(run)
    while end:
        words.append(run[end - lengths[end] : end])
        end -= lengths[end]
    return words[::-1]


def _cost(word: str) -> float:
    known = commonness(word)
    return _TOP - known if known else _TOP + _LETTER * len(word)


@cache
def _frequencies() -> dict[int, int]:
    """Read the frequencies that come with the package."""
    import numpy as np

    with (files(__package__ or "") / "commonness.npz").open("rb") as file, np.load(file) as arrays:
        return dict(zip(arrays["steps"].cumsum(dtype=np.int64).tolist(), arrays["zipf"].tolist(), strict=True))
