"""Replaces secrets, personal data, and what the user's own expressions and functions find in texts."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from qualitrace.quiet import logger
from qualitrace.redaction import secrets
from qualitrace.redaction.encoded import as_read, in_encodings
from qualitrace.redaction.personal import IN_ALL, PATTERNS, spans

Redact = Callable[[str], str]
Rule = str | Redact

EXTRA = "pip install 'qualitrace[redact]'"
FAILED = "[redaction failed]"

# Keys and tokens: found without libraries, in all texts.
SECRET = "secret"  # noqa: S105  # its name
NAMES = (SECRET, *PATTERNS)
CUSTOM = "custom"

# Characters: a host, an id, a time, but no message.
_SHORT = 100


class Redactor:
    """Replaces each match of a rule by the name of the rule in brackets. Text that is JSON stays JSON.

    Secrets come first, then patterns and expressions, then functions, which get the text as the others left it.

    Attributes:
        counts: replacements by rule: the name of a pattern, `custom` for expressions, `failed` for texts.

    Args:
        rules: `secret`, names of patterns, regular expressions between slashes, functions from text to text.

    Raises:
        ValueError: a rule is none of these.
        ImportError: the libraries for patterns and expressions are not installed.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        rules = list(rules)
        self.counts: Counter[str] = Counter()
        self._secrets = SECRET in rules
        self._functions = [rule for rule in rules if callable(rule)]
        texts = [rule for rule in rules if not callable(rule) and rule != SECRET]
        self._personal = _Personal(texts) if texts else None

    def __call__(self, text: str) -> str:
        """Return `text` redacted, or `FAILED` if it cannot be redacted."""
        return self.value("", text)

    def value(self, name: str, text: str) -> str:
        """Return the text redacted as the value of an attribute, whose name may tell that it is a secret."""
        try:
            given = text
            if self._secrets:
                text = secrets.scrubbed_value(name, text)
            if self._personal:
                text = self._personal(text)
            if text != given:
                self._count(given, text)
            for function in self._functions:
                text = str(function(text))
            return text
        except Exception:  # nested too deep, lone surrogates …: what cannot be redacted must not leave
            logger.debug("redaction failed", exc_info=True)
            self.counts["failed"] += 1
            return FAILED

    def keeps(self, texts: Iterable[str]) -> bool:
        """Return whether it is sure, after one search, that none of these texts would change."""
        if self._functions:
            return False
        texts = list(texts)
        joined = "\n".join(texts)
        try:
            if self._secrets and secrets.scrubbed(joined) != joined:
                return False
            return not self._personal or self._personal.keeps(joined) or all(map(self._personal.leaves, texts))
        except Exception:  # nested too deep, lone surrogates …: one of them cannot be redacted
            return False

    def _count(self, given: str, redacted: str) -> None:
        for rule in (*NAMES, CUSTOM):
            number = redacted.count(f"[{rule}]") - given.count(f"[{rule}]")
            if number > 0:
                self.counts[rule] += number


class TextsSeen(list[str]):
    """Stands in for a `Redactor`: notes the texts that it would be asked about, for one search by `keeps`."""

    def __call__(self, text: str) -> str:
        """Note a text."""
        self.append(text)
        return text

    def value(self, name: str, text: str) -> str:
        """Note the value of an attribute."""
        self.append(f"{name}={text}" if secrets.is_secret_name(name) else text)
        return text


class _Personal:
    """Replaces personal data and matches of the user's expressions.

    Raises:
        ValueError: a rule is neither a name nor a regular expression between slashes.
        ImportError: a library is not installed.
    """

    def __init__(self, rules: Iterable[str]) -> None:
        import re2

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


def redaction(value: Any) -> Redactor:
    """Read the setting `redact`: rules, one, several or separated by commas; secrets are always among them.

    Never raises. With a value that cannot be used every text becomes `FAILED`: what should be redacted must not leave.
    """
    try:
        if callable(value):
            value = [value]
        rules: Sequence[Any] = value.split(",") if isinstance(value, str) else value
        return Redactor([SECRET, *(rule.strip() if isinstance(rule, str) else rule for rule in rules)])
    except ImportError as error:
        logger.warning("redact needs its libraries (no module %s): %s; all text is left out", error.name, EXTRA)
    except Exception as error:
        logger.warning("redact: %s; all text is left out", error)
    return Redactor([lambda text: FAILED])
