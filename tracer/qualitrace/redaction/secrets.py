"""Finds passwords, keys and tokens in texts: by the shapes of providers' keys, by the name beside a value, in URLs.

Pure `re`, because it runs by default, and in time linear in the text: the search stops at rare characters only, and
what an expression repeats is bounded.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache

from qualitrace.redaction.encoded import in_encodings
from qualitrace.redaction.named_secrets import SECRET_NAME, named_secrets
from qualitrace.redaction.shapes import SHAPES, Shape

REPLACEMENT = "[secret]"

Span = tuple[int, int]

_LONGEST_PRIVATE_KEY = 20_000  # characters; 16,384 bits of RSA are 12,700
# Characters of prose and JSON, the most frequent first; what is not here is rarer.
_FREQUENT = "etaoinsrhldcum:.fpgwyb0123456789v/kxjzq_-"

_PRIVATE_KEY = re.compile(r"-----BEGIN[A-Z0-9 +_-]{0,40}PRIVATE[ +]KEY(?:[ +]BLOCK)?-----")
_PRIVATE_KEY_END = re.compile(r"-----END[A-Z0-9 +_-]{0,40}KEY(?:[ +]BLOCK)?-----")
# The lines of a key that was cut.
_BASE64_LINES = re.compile(r"(?:\s|\\+[nr])*(?:[A-Za-z0-9+/=]{16,}(?:\s|\\+[nr])*)*[A-Za-z0-9+/=]*")

# After a user and a colon, up to the last @ before a slash, or the first one after it; a port is not a password.
_URL_PASSWORD = re.compile(
    r"""://[^\s/?#@:"'<>\\]{0,100}:(?!\d{1,5}[/?#])(?![$<{*[])"""
    r"""((?:[^\s"'<>\\/?#]{1,200}|[^\s"'<>\\]{1,200}?))@(?=[\w\[.-])"""
)
_URL_TOKEN = re.compile(r"://((?=[A-Za-z_-]{0,100}\d)[\w.~-]{20,200})@")


def scrubbed(text: str) -> str:
    """Return `text` with each secret replaced, in percent-encoding and JSON's escapes, too; JSON stays JSON."""
    return in_encodings(text, _scrub)


def scrubbed_value(name: str, text: str) -> str:
    """Return `text` as the value of an attribute, whose name may tell that it is a secret."""
    if not is_secret_name(name):
        return scrubbed(text)
    start = f"{name}="
    found = scrubbed(start + text)
    return found.removeprefix(start) if found.startswith(start) else REPLACEMENT


@lru_cache(maxsize=1000)  # names of attributes are few
def is_secret_name(name: str) -> bool:
    """Return whether a value of this name may be a secret, whatever it looks like."""
    return SECRET_NAME.search(name) is not None


def _scrub(text: str) -> str:
    spans = sorted(_find(text))
    if not spans:
        return text
    parts: list[str] = []
    done = 0
    for start, end, quote in spans:
        if start >= done:
            parts += (text[done:start], quote, REPLACEMENT, quote)
        done = max(done, end)
    return "".join((*parts, text[done:]))


def _find(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield start and end of each secret, and the quote that its replacement needs."""
    # Names and keys are ASCII. With a byte for each character, what is found stands at the same place in the text.
    data = text.encode("ascii", "replace")
    yield from named_secrets(text, data.decode("ascii").lower())
    for spans in (_starts()(text, data), _private_keys(text), _in_urls(text)):
        for start, end in spans:
            yield start, end, ""


def _in_urls(text: str) -> Iterator[Span]:
    if "@" in text and "://" in text:
        yield from (match.span(1) for match in _URL_PASSWORD.finditer(text))
        yield from (match.span(1) for match in _URL_TOKEN.finditer(text))


def _private_keys(text: str) -> Iterator[Span]:
    if "-----BEGIN" not in text:
        return
    for begin in _PRIVATE_KEY.finditer(text):
        end = _PRIVATE_KEY_END.search(text, begin.end(), begin.end() + _LONGEST_PRIVATE_KEY)
        end = end or _BASE64_LINES.match(text, begin.end(), begin.end() + _LONGEST_PRIVATE_KEY)
        yield begin.start(), end.end() if end else begin.end()


def _rarest(start: str) -> int:
    """Return the position of the character of `start` that is the rarest in texts."""
    rank = {character: rank for rank, character in enumerate(_FREQUENT)}
    return max(range(len(start)), key=lambda at: rank.get(start[at], len(rank)))


# All that stands in keys, and as many of these in a row as the shortest key has: no prose has them.
_OF_KEYS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.~+/=")
_IN_A_ROW = b"x" * 15
_AS_ROWS = bytes(b"x"[0] if byte in _OF_KEYS else b" "[0] for byte in range(256))

_Sides = tuple[set[str], set[str]]  # what comes before a character, and after it


class _Starts:
    """Finds keys by what those of the table start with, in the parts of a text that are long enough for one.

    One search stops at the rarest character of each start.
    """

    def __init__(self) -> None:
        self._at: dict[str, list[tuple[int, str, Shape, re.Pattern[str]]]] = defaultdict(list)
        sides: dict[str, dict[int, _Sides]] = defaultdict(lambda: defaultdict(lambda: (set(), set())))
        for shape in SHAPES:
            rest = re.compile(shape.rest, re.ASCII)
            for start in shape.starts:
                offset = _rarest(start)
                self._at[start[offset]].append((offset, start, shape, rest))
                before, after = sides[start[offset]][offset]
                before.add(start[: offset + 1])
                after.add(start[offset + 1 :])
        # The engine skips to the first characters of the alternatives, and enters the one that begins with it.
        self._search = re.compile("|".join(f"{re.escape(c)}(?:{_sides(sides[c])})" for c in sides))

    def __call__(self, text: str, data: bytes) -> Iterator[Span]:
        rows = data.translate(_AS_ROWS)
        begin = rows.find(_IN_A_ROW)
        while begin >= 0:
            end = rows.find(b" ", begin)
            end = len(text) if end < 0 else end
            for span in self._keys(text, begin, end):
                yield span
                end = max(end, span[1])
            begin = rows.find(_IN_A_ROW, end)

    def _keys(self, text: str, begin: int, end: int) -> Iterator[Span]:
        done = 0
        for match in self._search.finditer(text, begin, end):
            anchor = match.start()
            for offset, start, shape, rest in self._at[text[anchor]]:
                at = anchor - offset
                if at < done or not text.startswith(start, at) or (first := _beginning(text, at, shape)) is None:
                    continue
                if key := rest.match(text, at + len(start)):
                    done = key.end()
                    yield first, done


def _sides(offsets: Mapping[int, _Sides]) -> str:
    """Return an expression of what comes before and after a character that was found."""
    return "|".join(
        f"(?<={_any(before)})" + ("" if "" in after else f"(?={_any(after)})") for before, after in offsets.values()
    )


def _any(texts: set[str]) -> str:
    return "|".join(map(re.escape, sorted(texts)))


_starts = cache(_Starts)  # at the first text, not at import, which it would make longer

_LONGEST_BEFORE = 80
# An escape of JSON or of a URL ends in a letter or digit, but is not a part of a word.
_ESCAPED = re.compile(r"(?:\\[nrtbf]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2}|\x1b\[[\d;]{0,10}m)\Z")


def _beginning(text: str, at: int, shape: Shape) -> int | None:
    """Return where a key begins whose start is found at `at`; None if it is none."""
    if shape.before:
        is_before, begin = re.compile(shape.before, re.ASCII), at
        while begin > max(0, at - _LONGEST_BEFORE) and is_before.match(text, begin - 1):
            begin -= 1
        if text[begin - 1 : begin] == "\\":  # the letter after it belongs to the escape
            begin += 5 if text[begin] == "u" else 1
        return begin if at - begin >= shape.least_before else None
    behind = text[at - 1 : at]
    if shape.within_words or not (behind.isascii() and behind.isalnum()):
        return at
    return at if _ESCAPED.search(text, max(0, at - 14), at) else None
