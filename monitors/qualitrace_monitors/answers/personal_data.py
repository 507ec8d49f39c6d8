"""Masks personal data and secrets in texts that people read, by the patterns of the setting `redact`."""

import re
from functools import cache, lru_cache

from qualitrace.redaction.redactor import PERSONAL, SECRET, Redactor

REMEMBERED = 2_000
"""Texts whose masked form is remembered, since a page is renewed again and again: some megabytes."""


CUT_OFF = "[cut off]"
"""What replaces text that may be the beginning of personal data or a secret."""

_FURTHEST = 100
"""Characters in front of an ellipsis that are looked at: the longest number that the patterns know has fewer."""
_BEGUN = re.compile(
    r"(?:"
    r"[+(]*\d(?:[\s().+/–-]{0,4}\d){3,}"  # a number of a phone or a card
    r"|(?<![A-Za-z])[A-Z]{2}\d\d(?:\s?[0-9A-Z])*"  # an IBAN
    r"|(?:[0-9a-fA-F]{1,4}:{1,2}){2,}[0-9a-fA-F]{0,4}"  # an address of IPv6
    r"|[!-?A-~]+@[!-~]*"  # an address for mail
    r"|(?=[!-~]*\d)(?=[!-~]*[A-Za-z])[!-~]{16,}"  # a key
    r")[\s().+/–-]*\Z"
)


@lru_cache(REMEMBERED)
def masked(text: str) -> str:
    """Return a text with personal data and secrets replaced by their kind: `[email]`, `[phone]` …

    Texts are cut with an ellipsis before they come here. What stands in front of one may be the beginning of an address
    or a number, which no pattern knows, so it is replaced as well.
    """
    *cut, last = _redactor()(text).split("…")
    return "…".join([*map(_without_begun, cut), last])


def _without_begun(text: str) -> str:
    found = _BEGUN.search(text, max(0, len(text) - _FURTHEST))
    return text if found is None else text[: found.start()] + CUT_OFF


@cache
def _redactor() -> Redactor:
    return Redactor([SECRET, *PERSONAL])
