"""Replaces secrets, personal data, and what the user's own expressions and functions find in texts."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from qualitrace.quiet import logger

if TYPE_CHECKING:
    from qualitrace.redaction.expressions import Expressions

Redact = Callable[[str], str]
Rule = str | Redact

EXTRA = "pip install 'qualitrace[redact]'"
FAILED = "[redaction failed]"

# Keys and tokens: found without libraries, in all texts.
SECRET = "secret"  # noqa: S105  # its name
# Personal data, by the names of the patterns in `personal`.
PERSONAL = ("email", "phone", "card", "iban", "ssn", "ip")
NAMES = (SECRET, *PERSONAL)
CUSTOM = "custom"


# Both are imported at their first use: most of the time that they take is that of their regular expressions.
@cache
def _secrets() -> ModuleType:
    from qualitrace.redaction import secrets

    return secrets


def _expressions(rules: Sequence[str]) -> "Expressions":
    from qualitrace.redaction.expressions import Expressions

    return Expressions(rules)


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
        self._personal = _expressions(texts) if texts else None

    def __call__(self, text: str) -> str:
        """Return `text` redacted, or `FAILED` if it cannot be redacted."""
        return self.value("", text)

    def value(self, name: str, text: str) -> str:
        """Return the text redacted as the value of an attribute, whose name may tell that it is a secret."""
        try:
            given = text
            if self._secrets:
                text = _secrets().scrubbed_value(name, text)
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
            if self._secrets and _secrets().scrubbed(joined) != joined:
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
        self.append(f"{name}={text}" if _secrets().is_secret_name(name) else text)
        return text


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
