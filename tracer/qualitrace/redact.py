"""Replaces personal data in texts, found by named patterns or by the user's own regular expressions.

RE2 matches in time linear in the text, whatever the expression: no text can make it backtrack.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from qualitrace.quiet import logger

Redact = Callable[[str], str]

EXTRA = "pip install 'qualitrace[redact]'"
FAILED = "[redaction failed]"

# By name, in RE2's syntax. Cards and IBANs are redacted if their check digits are right.
PATTERNS: Mapping[str, str] = {
    "email": r"[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,4}[a-zA-Z]{2,24}\b",
    "phone": r"\+\d{1,3}(?:[ ().-]{0,2}\d){6,13}\b|(?:\(\d{3}\) ?|\b\d{3}[ .-])\d{3}[ .-]\d{4}\b",
    "card": r"\b\d(?:[ -]?\d){12,18}\b",
    "iban": r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b",
    "ssn": r"\b\d{3}-\d{2}-\d{4}\b",
    "ip": r"\b(?:\d{1,3}\.){3}\d{1,3}\b",
}


class Redactor:
    """Replaces each match of a rule by the name of the rule in brackets. Text that is JSON stays JSON.

    Attributes:
        counts: replacements by rule: the name of a pattern, or `custom`.

    Raises:
        ValueError: a rule is neither a name nor a regular expression between slashes.
        ImportError: the libraries are not installed.
    """

    def __init__(self, rules: Iterable[str]) -> None:
        self.counts: Counter[str] = Counter()
        self._rules = [compiled(rule) for rule in rules]

    def __call__(self, text: str) -> str:
        """Return `text` redacted, or `FAILED` if it cannot be redacted."""
        try:
            return self._text(text)
        except Exception:  # nested too deep, lone surrogates …: what cannot be redacted must not leave
            self.counts["failed"] += 1
            return FAILED

    def _text(self, text: str) -> str:
        if text.lstrip()[:1] in ("{", "[", '"'):
            try:
                value = json.loads(text, object_pairs_hook=_object)
            except ValueError:  # no JSON after all
                return self._plain(text)
            redacted = self._value(value)
            return text if redacted == value else json.dumps(redacted, ensure_ascii=False)
        return self._plain(text)

    def _value(self, value: Any) -> Any:
        """Redact a JSON value: its strings without JSON's escapes, and its numbers, which may be a card's."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {self._plain(key): self._value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if isinstance(value, int) and not isinstance(value, bool):
            text = str(value)
            return value if (redacted := self._plain(text)) == text else redacted
        return value

    def _plain(self, text: str) -> str:
        for name, pattern in self._rules:
            text = pattern.sub(partial(self._replacement, name), text)
        return text

    def _replacement(self, name: str, match: Any) -> str:
        found: str = match.group()
        if not found or not _is_valid(name, found):
            return found
        self.counts[name] += 1
        return f"[{name}]"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object; raise ValueError for doubled keys, of which only the last would be seen and redacted."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("doubled key")
    return made


def compiled(rule: str) -> tuple[str, Any]:
    """Return a rule's name and its pattern.

    Raises:
        ValueError: it is neither a name nor a regular expression between slashes.
        ImportError: the libraries are not installed.
    """
    import re2

    name, expression = _parse(rule)
    options = re2.Options()
    options.log_errors = False  # RE2 writes them to stderr, too
    try:
        return name, re2.compile(expression, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"{rule!r} is no regular expression of RE2: {text}") from None


def _parse(rule: str) -> tuple[str, str]:
    if rule in PATTERNS:
        return rule, PATTERNS[rule]
    if len(rule) > 2 and rule[0] == rule[-1] == "/":
        return "custom", rule[1:-1]
    raise ValueError(f"{rule!r} is neither one of {', '.join(PATTERNS)} nor a regular expression between slashes")


def _is_valid(name: str, found: str) -> bool:
    from stdnum import iban, luhn

    if name == "card":
        return luhn.is_valid(found.replace(" ", "").replace("-", ""))
    return name != "iban" or iban.is_valid(found)


def redaction(value: Any) -> Redact:
    """Read the setting: a function from text to text, or rules as a sequence or separated by commas. Never raises.

    With a value that cannot be used every text becomes `FAILED`: what should be redacted must not leave as it is.
    """
    if callable(value):
        return _guarded(value)
    try:
        rules: Sequence[str] = value.split(",") if isinstance(value, str) else value
        return Redactor([rule.strip() for rule in rules])
    except ImportError as error:
        logger.warning("redact needs its libraries (no module %s): %s; all text is left out", error.name, EXTRA)
    except Exception as error:
        logger.warning("redact: %s; all text is left out", error)
    return lambda text: FAILED


def _guarded(function: Callable[..., object]) -> Redact:
    def redact(text: str) -> str:
        try:
            return str(function(text))
        except Exception:
            logger.debug("redaction failed", exc_info=True)
            return FAILED

    return redact
