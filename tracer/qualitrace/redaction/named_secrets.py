"""Finds secrets by what stands beside them: `password=x`, `"api_key": "x"`, `Authorization: Bearer x`, `?sig=x`.

A value must look like one as well, since prose and code say `token: str` and `the password is required`.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from functools import cache

# The end of an attribute's name.
SECRET_NAME = re.compile(
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|key|credentials?|authorization|cookie)$", re.IGNORECASE
)

_QUOTE = r"\\{0,16}[\"'`]"
# Each is looked for as plain text, which is quick; the pattern decides.
_WORDS = ("passw", "passphrase", "pwd", "cookie", "authorization", "key", "token", "secret", "credential")
_NAME = (
    r"(?:(?P<password>(?i:passw(?:or)?d|passphrase|pwd))|(?P<header>(?i:cookie|authorization))|(?P<key>(?i:key))"
    r"|(?P<token>(?i:token|secret|credentials?)))"
)
_IS = (
    rf"(?P<closing>{_QUOTE})?\]?[ \t]{{0,3}}"
    rf"(?P<is>=>|:=|={{1,3}}|:|,(?=[ \t]?b?{_QUOTE})|[ \t](?:is|was)\b:?|,[ \t]?{_QUOTE}value{_QUOTE}[ \t]?:)"
    r"[ \t]{0,3}"
)
_VALUE = (
    r"\[?[ \t]?b?(?P<scheme>(?i:bearer|basic|token|apikey|digest)[ \t]{1,3})?"
    rf"(?:(?P<quote>{_QUOTE})(?P<scheme2>(?i:bearer|basic|token|apikey)[ \t]{{1,3}})?)?"
    r"(?P<value>(?(quote)(?:[^\s\"'`\\]|\\[^\s\"'`\\nrtu]|(?<!\")'(?=[^\s,}\])])){4,2000}"
    r"|[^\s\"'`\\,;&<>(){}\[\]]{4,2000}))"
)
_SCHEME = re.compile(r"[bB](?i:earer|asic)[ \t]{1,3}(?P<value>[\w.~+/=-]{8,4000})", re.ASCII)
_QUERY = re.compile(
    r"[?&;](?:[xX]-\w{2,5}-)?(?i:key|sig|signature|code|auth|hmac)=(?P<value>[^\s&;\"'<>#\\]{12,2000})", re.ASCII
)
_CURL_USER = re.compile(r"(?<=curl )[^\n]{0,500}?(?:-u|--user)[ =][\"']?[^\s:\"']{1,64}:(?P<value>[^\s\"'\\]{3,200})")

# What makes a key one that opens something: `primary key` does not.
_KEY_OF = re.compile(
    r"(?i:api|access|account|admin|auth|client|consumer|encryption|function|host|license|master|private|secret"
    r"|service|shared|signing|storage|subscription|webhook)[ _-]{0,1}\Z|[A-Z0-9]_\Z|[xX]-[\w-]{0,30}-\Z"
)
_PAGE = re.compile(r"(?i:page|next|continuation|sync|delta|previous|cursor)[ _-]?(?i:tok)\Z")

_PLACEHOLDER = re.compile(r"\$?[<{(]|\$[A-Z_]+\Z|%[(s]|\[|(.)\1*\Z|(?i:your|my|the)[_-]|None\b|null\b", re.ASCII)
_IDENTIFIER = re.compile(r"_*[A-Za-z]+\d{0,2}(?:[._-]+(?:[A-Za-z]+\d{0,2}|\d{1,2}))*\Z")
_CODE = re.compile(r"[][(){}<>|]")
_SYMBOL = re.compile(r"[!@#$%^&*+~?]")
_AROUND = ".,;:!?)"


def named_secrets(text: str, lowered: str) -> Iterator[tuple[int, int, str]]:
    """Yield start and end of each value that its place says to be a secret, and the quote that it needs in JSON.

    Args:
        text: any text.
        lowered: the same in lower case, as long; letters that are not ASCII may be missing.
    """
    for word in _WORDS:
        if word in lowered:
            yield from _named(word, text, lowered)
    if "bearer " in lowered or "basic " in lowered:
        for match in _SCHEME.finditer(text):
            if _is_basic(match["value"]) if match[0][1] in "aA" else _is_token(match["value"], 16):
                yield _span(match)
    if "=" in text:
        yield from (_span(match) for match in _QUERY.finditer(text) if _is_token(match["value"], 12))
    if "curl " in lowered:
        yield from (_span(match) for match in _CURL_USER.finditer(text) if not _PLACEHOLDER.match(match["value"]))


def _named(word: str, text: str, lowered: str) -> Iterator[tuple[int, int, str]]:
    at = lowered.find(word)
    while at >= 0:
        if (match := _assignment().match(text, at)) and _is_named(text, match):
            yield _span(match)
        at = lowered.find(word, match.end() if match else at + len(word))


@cache  # at the first name, not at import: it takes longer than all other imports of the redaction
def _assignment() -> re.Pattern[str]:
    return re.compile(_NAME + _IS + _VALUE)


def _span(match: re.Match[str]) -> tuple[int, int, str]:
    groups, value = match.groupdict(), match["value"]
    # Only a number among JSON's values has no quotes; what replaces it needs them, as its name has.
    quote = groups.get("closing") or "" if value.isdigit() and not groups.get("quote") else ""
    return match.start("value"), match.start("value") + len(value.rstrip(_AROUND)), quote


def _is_named(text: str, match: re.Match[str]) -> bool:
    kind = next(kind for kind in ("password", "header", "key", "token") if match.groupdict().get(kind) is not None)
    value, quoted = match["value"].rstrip(_AROUND), bool(match["quote"])
    said = match["is"].strip()[:1] in (",", "i", "w")  # in a sentence or a list: less sure than an assignment
    if _PLACEHOLDER.match(value) or text[match.end() : match.end() + 1] in ("(", "["):
        return False
    if kind == "password":
        return _is_password(value, quoted, least=6 if said or not quoted else 4)
    if kind == "header":
        return len(value) >= 8 if match["scheme"] or match["scheme2"] else _is_token(value, 12)
    if not quoted and _IDENTIFIER.match(value):  # a variable
        return False
    before = text[max(0, match.start() - 40) : match.start()]
    if kind == "key":
        return bool(_KEY_OF.search(before)) and _is_token(value, 16 if said else 12)
    return not _PAGE.search(before + match["token"][:3]) and _is_token(value, 16 if said else 12)


def _is_password(value: str, quoted: bool, least: int) -> bool:
    if len(value) < least or "://" in value:
        return False
    if value.isalpha():  # a word, such as `required`, or a phrase
        return quoted and len(value) >= 12
    return any(map(str.isdigit, value)) or bool(_SYMBOL.search(value))


def _is_token(value: str, least: int) -> bool:
    return (
        len(value) >= least
        and any(map(str.isdigit, value))
        and any(map(str.isalpha, value))
        and "://" not in value
        and not _CODE.search(value)
        and not _PLACEHOLDER.match(value)
    )


def _is_basic(value: str) -> bool:
    """Return whether it is the base64 of `user:password`."""
    try:
        return b":" in base64.b64decode(value.rstrip(_AROUND), validate=True)
    except (binascii.Error, ValueError):
        return False
