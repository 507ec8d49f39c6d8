"""Masks personal data and secrets in texts that people read, by the patterns of the setting `redact`."""

from functools import cache, lru_cache

from qualitrace.redaction.redactor import PERSONAL, SECRET, Redactor

REMEMBERED = 2_000
"""Texts whose masked form is remembered, since a page is renewed again and again: some megabytes."""


@lru_cache(REMEMBERED)
def masked(text: str) -> str:
    """Return a text with personal data and secrets replaced by their kind: `[email]`, `[phone]` …"""
    return _redactor()(text)


@cache
def _redactor() -> Redactor:
    return Redactor([SECRET, *PERSONAL])
