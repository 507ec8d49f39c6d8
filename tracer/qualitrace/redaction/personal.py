"""Finds personal data by named patterns: RE2 finds what has the form, check digits and numbering rules decide.

RE2 matches in time linear in the text. Nothing here needs a language model: names and postal addresses are not found.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Span = tuple[int, int]


@dataclass(frozen=True)
class Pattern:
    """A kind of personal data.

    Attributes:
        expression: of RE2; its first group, if it has one, is what is replaced.
        check: from the text and a match's span to the spans in it that are of this kind; by default the match is.
    """

    expression: str
    check: Callable[[str, Span], Iterator[Span]] | None = None


# Blanks and dashes, among them those that keep a number on one line.
_GAP = r"[ \x{a0}\x{202f}\x{2010}-\x{2015}-]"
_GAPS = re.compile("[ \u00a0\u202f\u2010-\u2015.-]")


def _ips(text: str, span: Span) -> Iterator[Span]:
    start, end = span
    found = text[start:end]
    found = found[:-1] if found.endswith(":") and not found.endswith("::") else found
    end = start + len(found)
    if ":" in found:  # `a::b` is C++, `1::2` a slice of Python's
        is_part = re.search(r"[\w:]", text[start - 1 : start] + text[end : end + 1])
        is_like_one = not is_part and re.search(r"[0-9A-Fa-f]{3}", found) and re.search(r"\d", found)
    else:  # an object identifier has more parts
        is_like_one = not re.search(r"\d\.\Z", text[max(0, start - 2) : start]) and not _MORE_PARTS.match(text, end)
    if is_like_one and _is_address(found):
        yield start, end


_MORE_PARTS = re.compile(r"\.\d")


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:  # leading zeros, for example
        return ":" not in text and all(int(part) <= 255 for part in text.split("."))
    return not (address.is_loopback or address.is_unspecified)  # those are everybody's


def _ssns(text: str, span: Span) -> Iterator[Span]:
    digits = re.sub(r"\D", "", text[slice(*span)])
    if digits[:3] not in ("000", "666") and digits[3:5] != "00" and digits[5:] != "0000":
        yield span


# Before a number: a digit or a decimal point, the rest of a sum, a number of a list or a dump of bytes.
_IN_NUMBER = re.compile(r"(?:\d|\d[.,]|\b\d[0-9A-Fa-f][ .-]{1,2})\Z")
_GOES_ON = re.compile(r"[ .-][0-9A-Fa-f]{2}\b")
_ZIP = re.compile(r"\d{5}-\d{4}")


def _phones(text: str, span: Span) -> Iterator[Span]:
    start, end = span
    found, before = text[start:end], text[max(0, start - 4) : start]
    digits = sum(character.isdigit() for character in found)
    is_national = found.lstrip("(")[:1] == "0" and not found.startswith("00")
    least = 9 if is_national else 7  # a date written 01-02-2026 has eight
    if not least <= digits <= 16 or (before[-1:].isdigit() and found[0] != "("):
        return
    if is_national and (_IN_NUMBER.search(before) or _GOES_ON.match(text, end) or _ZIP.fullmatch(found)):
        return
    yield span


def _cards(text: str, span: Span) -> Iterator[Span]:
    from stdnum import luhn

    if re.search(r"\d[.,]\Z", text[max(0, span[0] - 2) : span[0]]):  # the decimals of a number
        return
    groups = [(span[0] + m.start(), span[0] + m.end()) for m in re.finditer(r"\d+", text[slice(*span)])]
    first = 0
    while first < len(groups):
        for last in range(min(len(groups), first + 19), first, -1):
            start, end = groups[first][0], groups[last - 1][1]
            digits = re.sub(r"\D", "", text[start:end])
            # 2 to 6 is what cards begin with; times and most identifiers begin with 1. Short groups are no card's,
            # unless each digit stands alone.
            whole = groups[first][1] - start >= 4 or ((start, end) == span and len(groups) == len(digits))
            if whole and 13 <= len(digits) <= 19 and digits[0] in "23456" and luhn.is_valid(digits):
                yield start, end
                first = last - 1
                break
        first += 1


def _ibans(text: str, span: Span) -> Iterator[Span]:
    from stdnum import iban

    compact, ends, at = "", list[int](), span[0]
    while at < len(text) and len(compact) < 34:
        if text[at].isascii() and text[at].isalnum():
            compact += text[at].upper()
            ends.append(at + 1)
        elif not (_GAPS.match(text, at) and _GAPS.match(text, at - 1) is None):
            break
        at += 1
    for length in range(len(compact), 14, -1):  # Norway's have 15; what follows may be words
        end = ends[length - 1]
        if not text[end : end + 1].isalnum() and _is_mod_97(compact[:length]) and iban.is_valid(compact[:length]):
            yield span[0], end
            return


def _is_mod_97(number: str) -> bool:
    # Much quicker than to ask the registry, which decides.
    return int("".join(str(int(character, 36)) for character in number[4:] + number[:4])) % 97 == 1


PATTERNS: Mapping[str, Pattern] = {
    # International addresses (letters of any script, xn--), quoted local parts, address literals.
    "email": Pattern(
        r"""(?:[\pL\pN_][\pL\pM\pN_.+'-]*|"[^"\n]{1,64}")[@＠]"""
        r"(?:(?:[\pL\pN][\pL\pM\pN-]*[.。．])+(?:xn--[A-Za-z0-9-]+|\pL[\pL\pM]+)|\[(?:IPv6:)?[0-9A-Fa-f.:]{7,45}\])"
    ),
    # International with + or 00; American; with an area code that begins with 0 or stands in brackets; French pairs.
    "phone": Pattern(
        rf"[+＋]\d{{1,3}}(?:(?:{_GAP}|[.()/]){{0,3}}\d){{6,13}}\b"
        rf"|\b00[1-9]\d{{0,2}}(?:{_GAP}|[./(])(?:(?:{_GAP}|[.()/]){{0,2}}\d){{6,13}}\b"
        rf"|(?:\b1(?:{_GAP}|\.))?(?:\(\d{{3}}\) ?|\b\d{{3}}(?:{_GAP}|\.))\d{{3}}(?:{_GAP}|\.)\d{{4}}\b"
        rf"|(?:\(0[1-9]\d{{0,3}}\)|\b0[1-9]\d{{0,3}})(?:{_GAP}|/){{1,3}}\d{{2,5}}(?:{_GAP}?\d{{2,5}}){{1,3}}\b"
        rf"|\(\d{{2}}\) ?\d{{4,5}}{_GAP}?\d{{4}}\b"
        rf"|\b0[1-9](?:(?:{_GAP}|\.)\d{{2}}){{4}}\b"
        r"|\btel:[\d.-]{7,}\b",
        _phones,
    ),
    "card": Pattern(rf"\b\d(?:{_GAP}?\d){{12,63}}\b", _cards),
    "iban": Pattern(r"\b[A-Za-z]{2}\d{2}", _ibans),
    "ssn": Pattern(
        r"\b(\d{3}(?:[-\x{2010}-\x{2015}]\d{2}[-\x{2010}-\x{2015}]|[ \x{a0}]\d{2}[ \x{a0}]|\.\d{2}\.)\d{4})\b"
        r"|(?i:\bssn|social security(?: number| no\.?)?)\W{0,5}(?:is )?(\d{9})\b",
        _ssns,
    ),
    "ip": Pattern(
        r"\b(?:\d{1,3}\.){3}\d{1,3}\b|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:\.\d{1,3}){0,3}",
        _ips,
    ),
}


IN_ALL = re.compile("[0-9@＠]")
"""Finds a character that all personal data of these patterns have one of, however they are encoded."""


def spans(pattern: Any, check: Callable[[str, Span], Iterator[Span]] | None, text: str) -> Iterator[Span]:
    """Yield start and end of each piece of `text` that a compiled pattern of RE2 finds and its check confirms."""
    done = 0
    for match in pattern.finditer(text):
        span: Span = match.span(match.lastindex or 0) if check is _ssns else match.span()
        if span[0] == span[1] or span[0] < done:
            continue
        for found in check(text, span) if check else (span,):
            done = found[1]
            yield found
