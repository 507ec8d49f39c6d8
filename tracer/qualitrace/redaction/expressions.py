"""Replaces personal data, and what the user's own regular expressions find, in texts and in JSON."""

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import re2

from qualitrace.redaction.encoded import as_read, in_encodings
from qualitrace.redaction.personal import IN_ALL, PATTERNS, spans
from qualitrace.redaction.redactor import CUSTOM, NAMES

# Characters: a host, an id, a time, but no message.
_SHORT = 100


class Expressions:
    """Replaces personal data and matches of the user's expressions.

    Raises:
        ValueError: a rule is neither a name nor a regular expression between slashes.
    """

    def __init__(self, rules: Iterable[str]) -> None:
        self._rules: list[tuple[str, Any, Any]] = []
        options = re2.Options()
        options.log_errors = False  # RE2 writes them to stderr, too
        for rule in rules:
            name, expression, check = _parse(rule)
            try:
                self._rules.append((name, re2.compile(expression, options), check))
            except re2.error as error:
                reason = error.args[0] if error.args else ""
                shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
                raise ValueError(f"{rule!r} is no regular expression of RE2: {shown}") from None
        # The user's expressions may ask where a text begins or ends.
        self._joins = all(name != CUSTOM for name, _, _ in self._rules)
        self._any: Any = None
        if self._joins:
            options.never_capture = True
            # Not re2.Set, which finds nothing where it runs out of memory.
            self._any = re2.compile("|".join(f"(?:{PATTERNS[rule].expression})" for rule in rules), options)
        self._stays = lru_cache(maxsize=256)(self._replaces_nothing)  # hosts are the same in each span

    def __call__(self, text: str) -> str:
        """Return `text` with what was found replaced; JSON stays JSON."""
        if self.keeps(text):
            return text
        if text.lstrip()[:1] not in ("{", "[", '"'):
            return self._plain(text)
        try:
            value = json.loads(text, object_pairs_hook=_object)
        except ValueError:  # no JSON after all
            return self._plain(text)
        # One search over all is quicker than one for each.
        if self._joins and self._plain(joined := "\n".join(_texts(value))) == joined:
            return text
        redacted = self._value(value)
        return text if redacted == value else json.dumps(redacted, ensure_ascii=False)

    def keeps(self, text: str) -> bool:
        """Return whether it is sure, after one search, that nothing in this text, or these texts, would be replaced.

        JSON is searched as it stands. What is beside a value there is no part of a word, so an expression that finds
        something in the value finds it there, too; the checks, which look further, are not asked.
        """
        if not self._joins:
            return False
        if not IN_ALL.search(text):
            return True
        read = as_read(text)
        return read is not None and not self._any.search(read)

    def leaves(self, text: str) -> bool:
        """Return whether it is sure that nothing in one text would be replaced, after a second look if it is short."""
        return self.keeps(text) or (len(text) < _SHORT and self._stays(text))

    def _replaces_nothing(self, text: str) -> bool:
        return self(text) == text

    def _value(self, value: Any) -> Any:
        """Redact a JSON value: its strings without JSON's escapes, and its numbers, which may be a card's."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {self._plain(key): self._value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if isinstance(value, int) and not isinstance(value, bool):
            text = str(value)
            return value if (redacted := self._plain(text)) == text else redacted
        return value

    def _plain(self, text: str) -> str:
        return in_encodings(text, self._replaced)

    def _replaced(self, text: str) -> str:
        if self._joins and not self._any.search(text):
            return text
        for name, pattern, check in self._rules:
            parts: list[str] = []
            done = 0
            for start, end in spans(pattern, check, text):
                parts += (text[done:start], f"[{name}]")
                done = end
            if parts:
                text = "".join((*parts, text[done:]))
        return text


def _texts(value: Any) -> Iterator[str]:
    """Yield the keys, strings and whole numbers in a JSON value; a string that is JSON, too, as what it holds."""
    if isinstance(value, str):
        if value.lstrip()[:1] in ("{", "[", '"'):
            try:
                yield from _texts(json.loads(value, object_pairs_hook=_object))
                return
            except ValueError:
                pass
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object; raise ValueError for doubled keys, of which only the last would be seen and redacted."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("doubled key")
    return made


def _parse(rule: str) -> tuple[str, str, Any]:
    if rule in PATTERNS:
        return rule, PATTERNS[rule].expression, PATTERNS[rule].check
    if len(rule) > 2 and rule[0] == rule[-1] == "/":
        return CUSTOM, rule[1:-1], None
    raise ValueError(f"{rule!r} is neither one of {', '.join(NAMES)} nor a regular expression between slashes")
