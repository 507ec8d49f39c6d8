"""Takes secrets out of what others may read: logs, pages, notifications, errors, assessments.

A secret is recognized in three ways, since each misses some: as a value that this process was given (a secret of the
configuration, a key in the environment), by its place (`user:password@`, `?password=`, `Authorization:`), and by the
shape that providers give to their keys. Where a text may be read in several ways, more is hidden.
"""

import base64
import json
import logging
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import quote, unquote_plus

from qualitrace.redaction.shapes import SHAPES, Shape

MASK = "***"

# A shorter value, or one that may be a plain word, would be hidden wherever it stands by chance.
_SHORTEST, _SHORTEST_WORD = 6, 12

_given: set[str] = set()

# Variables that hold a secret; not those that hold the path of a file with one, such as TOKEN_FILE.
_SECRET_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD)(_?\d+)?$", re.IGNORECASE)

_NAMES = "password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization"
_QUERY_SECRET = re.compile(f"({_NAMES})$|^(pass|key|auth|sig|signature|code)$", re.IGNORECASE)

# Userinfo with white space in the password; a port is none.
_LOOSE_USERINFO = re.compile(r"(?<=://)[^\s:/?#@\[]{0,100}:(?!\d*(?:\s|$)|\d+\W)(?=[^\s@]{0,200}\s)[^\n@]{0,400}@")
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,40}://)(\S*)")
_AUTHORITY = re.compile(r"[^/?#'\"<>`]*")
# A host and its port, with what may follow an address in a sentence.
_HOST = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::\d*)?\W*")
_QUERY_FIELD = re.compile(r"([?&;#])([^=&#;?\s]{1,100})=([^&\s'\"<>`]*)")

_ENCODED = re.compile("%[0-9A-F]{2}")
_URL_SAFE = str.maketrans("+/", "-_")

# Any secret is shorter; without a bound an open quote would be searched to the end of the text, again and again.
_QUOTED = r"\"(?:[^\"\\]|\\.){0,1000}\"|'(?:[^'\\]|\\.){0,1000}'"
# `password=x`, as libpq takes it, and in a URI `PWD%3Dx`, as ODBC takes it, `"api_key": "x"` and `'token': 'x'`.
_FIELD = re.compile(
    rf"((?:{_NAMES})\\?[\"']?\s?(?:=|%3D|:(?=\s?\\?[\"']))\s?)(?:{_QUOTED}|\\?[\"']?[^\s,;&\"'\\)\]}}]+)", re.IGNORECASE
)
# `x-api-key: x1`, `Incorrect API key provided: x1`; a word without a digit is one of the sentence.
_SENTENCE = re.compile(
    r"(\b(?:api[ _-]?key|token|secret|password|credential)s?\b[^\n:='\"`]{0,40}(?:[:=]\s?|['\"`]))"
    r"(?=[\w.+/=*-]{0,200}\d)[\w.+/=*-]{8,}",
    re.IGNORECASE,
)


def _rest(shape: Shape, start: str) -> str:
    """Return an expression of what follows the start of a provider's key."""
    # Providers hide the middle of the keys that they repeat, and whoever tries one out makes up a short one.
    return r"[\w.*=+/-]{6,}" if start[-1] in "-_" else shape.rest


def _starts(*, inside: bool) -> Iterator[tuple[str, Shape]]:
    """Yield the starts that stand inside of their keys, or those that keys begin with; not those of addresses."""
    for shape in SHAPES:
        if bool(shape.before) is inside:
            yield from ((start, shape) for start in shape.starts if not start.endswith("/"))


_LONGEST_BEFORE = 80
_KEYS = re.compile(
    "(?<![A-Za-z0-9])(?:"
    + "|".join(re.escape(start) + _rest(shape, start) for start, shape in _starts(inside=False))
    + ")"
)
_KEYS_BY_INSIDE = {
    start: re.compile(
        f"{shape.before}{{{shape.least_before},{_LONGEST_BEFORE}}}{re.escape(start)}{_rest(shape, start)}"
    )
    for start, shape in _starts(inside=True)
}
# The host stays.
_ADDRESSES = re.compile(
    "(" + "|".join(re.escape(start) for shape in SHAPES for start in shape.starts if start.endswith("/")) + r")[\w/-]+"
)
_CREDENTIALS = re.compile(
    r"(?i:\b(?:Bearer|Basic)\s+)[\w.~+/=*-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
)


def remember_secret(value: str) -> None:
    """Hide this value from now on, in whatever form it is repeated, unless it is short or may be a plain word."""
    _given.add(value)


def is_secret_name(name: str) -> bool:
    """Whether a key of this name, such as `api_key`, holds a secret by its name."""
    return _QUERY_SECRET.search(name) is not None


def masked(text: str) -> str:
    """Return `text` without passwords, keys and tokens; of a URI with credentials the host and path stay.

    Mask a text before it is cut: half a key is not recognized.
    """
    if known := _any_of(frozenset(_given | set(_from_environment()))):
        text = known.sub(MASK, text)
    text = _URI.sub(_without_credentials, _LOOSE_USERINFO.sub("", text))
    text = _ADDRESSES.sub(rf"\1{MASK}", _KEYS.sub(MASK, _CREDENTIALS.sub(MASK, text)))
    for inside, key in _KEYS_BY_INSIDE.items():
        if inside in text:  # to look for what comes before it takes long
            text = key.sub(MASK, text)
    return _SENTENCE.sub(rf"\1{MASK}", _FIELD.sub(rf"\1{MASK}", text))


class MaskedRecord(logging.LogRecord):
    """A log record whose message and traceback are masked, whichever library logs and whichever handler writes.

    They are masked when they are read: of a flood most records are dropped unread.
    """

    _traceback: str | None = None

    @property
    def exc_text(self) -> str | None:
        """The traceback, which formatters take from here; None without an exception."""
        if self._traceback is None and self.exc_info and self.exc_info[0]:
            self._traceback = masked(logging.Formatter().formatException(self.exc_info))
        return self._traceback

    @exc_text.setter
    def exc_text(self, text: str | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._traceback = text and masked(text)

    def getMessage(self) -> str:
        """Return the message with its arguments, masked."""
        return masked(super().getMessage())


def _from_environment() -> Iterator[str]:
    return (value for name, value in os.environ.items() if _SECRET_VARIABLE.search(name))


@lru_cache(maxsize=8)  # the environment changes seldom
def _any_of(secrets: frozenset[str]) -> re.Pattern[str] | None:
    forms: set[str] = set()
    for secret in secrets:
        if len(secret) >= (_SHORTEST_WORD if secret.isalpha() else _SHORTEST):
            forms.update(_forms(secret))
    return re.compile("|".join(map(_pattern, sorted(forms, key=len, reverse=True)))) if forms else None


def _pattern(form: str) -> str:
    # A longer word may hold a short one by chance.
    return re.escape(form) if len(form) >= _SHORTEST_WORD else rf"(?<!\w){re.escape(form)}(?!\w)"


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as JSON, URIs and Python show it, and what is always in base64 of a text that contains it."""
    data, escaped = secret.encode("utf-8", "surrogatepass"), json.dumps(secret)[1:-1]
    yield from (secret, escaped, escaped.replace("/", "\\/"), repr(secret)[1:-1])
    for safe in ("", "/"):
        yield from (in_uri := quote(data, safe=safe), _ENCODED.sub(lambda match: match[0].lower(), in_uri))
    for before in range(3):  # three bytes are four characters; `Basic` encodes `user:` before
        encoded = base64.b64encode(bytes(before) + data).decode()
        whole = encoded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        yield from (whole, whole.translate(_URL_SAFE))


def _without_credentials(match: re.Match[str]) -> str:
    scheme, rest = match[1], match[2]
    authority = _AUTHORITY.match(rest)
    host = authority[0] if authority else ""
    if "@" in rest and ":" in rest.partition("@")[0] and host:
        # A password may hold any character, also unescaped: only what follows the last @ is not part of it.
        before, _, rest = rest.rpartition("@")
        if "?" in before or "#" in before:  # or that @ stands in a query, which may hold a password as well
            return scheme + MASK
    elif "@" in host:  # a token as user
        rest = rest[host.rindex("@") + 1 :]
    found = _AUTHORITY.match(rest)
    host = found[0] if found else ""
    if not all(_HOST.fullmatch(part) for part in host.split(",")):  # user:password without a host, for example
        rest = MASK + rest[len(host) :]
    return scheme + _QUERY_FIELD.sub(_without_secret, rest)


def _without_secret(match: re.Match[str]) -> str:
    start, name = match[1], match[2]
    return f"{start}{name}={MASK}" if is_secret_name(unquote_plus(name)) else match[0]
