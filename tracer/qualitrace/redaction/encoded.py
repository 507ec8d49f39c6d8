"""Looks behind the encodings that texts are often in: percent-encoding, forms, JSON's escapes of plain characters."""

import re
from collections.abc import Callable, Iterator
from urllib.parse import quote, unquote, unquote_plus

# Levels of URLs in parameters of URLs: deeper ones are not met, and each level costs a search.
MAX_LEVELS = 3

# JSON's escapes of characters that need none; some encoders write +, =, & or / so. An escaped quote stays one.
_ESCAPE = re.compile(r"(?<!\\)\\{1,64}(?:u00([2-7][0-9A-Fa-f])|(/))")
_PERCENT = re.compile(r"%[2-7][0-9A-Fa-f]|%0[9AaDd]|%[C-Fc-f][0-9A-Fa-f]%")
_FORM = re.compile(r"=[\w.%-]{1,100}\+[\w(%]")
# What ends an encoded part of a text, as none of it may be in one.
_END = re.compile(r"""[\s"'<>\\]""")
_LONGEST_HEAD = 4000  # characters before the first that is encoded
_SAFE = "!#$&()*+,/:;=?@[]~|{}^`"


def in_encodings(text: str, redact: Callable[[str], str], level: int = 1) -> str:
    """Return `text` redacted as it stands and as its readers decode it. What needs no redaction stays as it is.

    Args:
        redact: leaves what it does not replace as it is.
    """
    # What is encoded comes first: half of a key would hide the other half.
    if (
        ("\\u00" in text or "\\/" in text)
        and (plain := _ESCAPE.sub(_unescaped, text)) != text
        and (found := redact(plain)) != plain
    ):
        text = found
    if "%" in text and level <= MAX_LEVELS:
        text = _redacted_parts(text, _PERCENT, unquote, redact, level)
    text = redact(text)
    # Last, since + is a character of keys: in a form it stands for a blank.
    if level == 1 and "+" in text and "=" in text:
        text = _redacted_parts(text, _FORM, unquote_plus, redact, level)
    return text


def as_read(text: str) -> str | None:
    """Return `text` without JSON's usual escapes; None if its readers may see more in it than stands there then.

    What is None here is not always encoded: it is quick, and sure of what it returns.
    """
    if "\\" in text:
        if "\\\\" in text:  # what follows is not an escape
            return None
        text = text.replace("\\n", "\n").replace('\\"', '"').replace("\\t", "\t").replace("\\r", "\r")
        if "\\" in text:
            return None
    if "%" in text and _PERCENT.search(text):
        return None
    return None if "+" in text and "=" in text and _FORM.search(text) else text


def _redacted_parts(
    text: str, encoded: re.Pattern[str], decode: Callable[[str], str], redact: Callable[[str], str], level: int
) -> str:
    parts = [*_parts(text, encoded)]
    decoded = "\n".join(decode(text[start:end]) for start, end in parts)
    if not parts or in_encodings(decoded, redact, level + 1) == decoded:  # one search for all
        return text
    done, written = 0, list[str]()
    for start, end in parts:
        plain = decode(text[start:end])
        if (found := in_encodings(plain, redact, level + 1)) != plain:
            again = quote(found, safe=_SAFE)
            written += (text[done:start], again.replace("%20", "+") if decode is unquote_plus else again)
            done = end
    return "".join((*written, text[done:]))


def _parts(text: str, encoded: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Yield start and end of each part of the text, between blanks and quotes, that is encoded."""
    done = 0
    for match in encoded.finditer(text):
        if match.start() < done:
            continue
        first = max(done, match.start() - _LONGEST_HEAD)
        head = _END.split(text[first : match.start()])[-1]
        end = _END.search(text, match.end())
        start, done = match.start() - len(head), end.start() if end else len(text)
        yield start, done


def _unescaped(match: re.Match[str]) -> str:
    if match[2]:
        return "/"
    character = chr(int(match[1], 16))
    return match[0] if character in '"\\\x7f' else character
