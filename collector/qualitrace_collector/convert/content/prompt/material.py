"""Tests whether a marked text reads as material, and splits it into passages without the markup between them."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from qualitrace_collector.convert.content.prompt import marks

RULE = re.compile(r"[ \t]*([-=_*~])\1{2,}[ \t]*\Z")
_RECORD_VALUE = re.compile(r"[ \t]*Value: ?")
RECORD = re.compile(r"[ \t]*Value:[^\n]*\n(?:[^\n]*\n){0,100}?[ \t]*(?:Link|Source|Page Number):")
_RECORD_END = re.compile(r"[ \t]*(?:Link|Source|Page Number|Name): ?[^\n]{0,2000}\Z")
_SINGLE = re.compile(r"(?i)(?:document|doc|passage|source|chunk|snippet|excerpt|reference|result|article)\Z")
_CONTENT = re.compile(r"(?i)<(/?)(document_content|page_content|content|text|body)>")
_METADATA = re.compile(
    r"(?i)<(source|title|url|uri|link|name|id|index|page|score|author|date|file_?name|metadata)>[^<>\n]{0,300}</\1>"
)
_ANY_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,300}>")
_ITEM_END = re.compile(r"(?im)^[ \t]*\[END [^\]\n]{1,40}\][ \t]*$")
_FILE = re.compile(r"[ \t]*[^\s:]{1,120}\.[A-Za-z0-9]{2,5}(?:#[^\s:]{1,40})?: ")
_SOURCE_LINE = re.compile(r"(?i)[ \t]*[-=]{2,} ?(?:source|document|file|page|chunk)[^\n]{0,120}[-=]{2,}[ \t]*\Z")
_TREE = re.compile(r"(?i)[ \t]*(?:ID: \d{1,4}|├── [^\n]{0,300}|└── Content:)[ \t]*\Z")
_ADDRESS = re.compile(r"https?://[^\s<>]{1,2000}")
_MAX_NESTED = 3
_QUOTE = re.compile(r"\"\"\"|'''")

# Characters of a marked text that are looked at: its beginning shows what it is.
_MAX_WEIGHED = 20_000

# Characters of a text that may be a placeholder, and of a sentence's end: their patterns look twice at each.
_MAX_PLACEHOLDER = 200
_MAX_END = 40

# Signs of vowels are parts of words (Arabic's, India's), though `re` does not count them as letters.
_WORD = re.compile(r"(?:[^\W\d_]|[\u064b-\u065f\u0900-\u0963\u0981-\u0dff]){2,}|\d")
_ENDED = re.compile(r"[.!?:;。！？…।۔؟][\"'”’»)\]]{0,3}\s*\Z")
_ASKS = re.compile(r"[?？؟]\W*\Z")
_DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
_BULLET = re.compile(r"\s*(?:[-*•+]|\d{1,2}[.)])\s")
_WORDS_OF_A_STATEMENT = 4
_WORDS_OF_A_CUT_STATEMENT = 8
_MOSTLY = 0.5
_HARDLY = 0.25


class Setting(NamedTuple):
    """Whether an introduction (`LEAD`), a question, and labels of its parts stand beside a marked text."""

    led: bool
    asked: bool
    labelled: bool


def shows(proof: marks.Proof, text: str, setting: Setting) -> bool:
    """Whether a marked text passes the test of its mark."""
    text = text[:_MAX_WEIGHED]
    said = sentences(words_only(text))
    orders = [marks.TO_MODEL.match(sentence) is not None for sentence in said]
    share = sum(orders) / max(1, len(orders))
    is_placeholder = len(text.strip()) <= _MAX_PLACEHOLDER and marks.PLACEHOLDER.fullmatch(text.strip())
    if is_placeholder or not _is_filled(said) or share >= _MOSTLY:
        return False
    if any(marks.ENVIRONMENT.match(sentence) for sentence in said[:3]) or (not setting.led and _is_code(text)):
        return False
    stated = sum(_states(sentence, setting.led) for sentence, order in zip(said, orders, strict=True) if not order)
    own = marks.OWN_WORDS.match(said[0]) is not None
    beside = setting.led or setting.asked
    shown = {
        marks.Proof.FILLED: True,
        marks.Proof.STATED: (stated > 0 or setting.labelled) and (beside or not own),
        marks.Proof.ASKED: (stated > 0 or setting.labelled) and beside and not own,
        marks.Proof.FACTS: share <= _HARDLY and stated >= (1 if setting.led else 2),
        marks.Proof.LED: share <= _HARDLY and stated >= 1 and setting.led,
    }
    return shown[proof]


def _is_filled(said: list[str]) -> bool:
    words = sum(_words(sentence) for sentence in said)
    return words >= 3 or any(_ENDED.search(sentence) and _words(sentence) for sentence in said)


def _words(sentence: str) -> int:
    dense = len(_DENSE.findall(sentence))
    return len(_WORD.findall(sentence)) if not dense else max(1, dense // 2)


def _is_code(text: str) -> bool:
    lines = [line for line in text.split("\n") if line.strip()]
    code = [line for line in lines if marks.CODE.match(line) or line.rstrip().endswith(marks.CODE_ENDS)]
    return len(code) > _HARDLY * len(lines)


def _states(sentence: str, led: bool) -> bool:
    if not led and _BULLET.match(sentence):
        return False
    needed = _WORDS_OF_A_STATEMENT if _ENDED.search(sentence) else _WORDS_OF_A_CUT_STATEMENT
    return not _ASKS.search(sentence[-_MAX_END:]) and _words(sentence) >= needed


class Pair(NamedTuple):
    """An opening and a closing tag, with the positions of both, the name in lower case and the attributes."""

    start: int
    inner: int
    inner_end: int
    end: int
    name: str
    attributes: str


def tag_pairs(text: str) -> list[Pair]:
    """Return the outermost pairs of tags; a closing tag belongs to the last open one of its name."""
    opened: dict[str, list[re.Match[str]]] = {}
    pairs: list[Pair] = []
    for tag in marks.TAG.finditer(text):
        name = tag.group(2).lower()
        if not tag.group(1):
            opened.setdefault(name, []).append(tag)
        elif before := opened.get(name):
            start = before.pop()
            pairs.append(Pair(start.start(), start.end(), tag.start(), tag.end(), name, start.group(3)))
    outer: list[Pair] = []
    for pair in sorted(pairs):
        if not outer or pair.start >= outer[-1].end:
            outer.append(pair)
    return outer


def words_only(text: str) -> str:
    """Return a text without tags and addresses."""
    return _ADDRESS.sub(" ", _ANY_TAG.sub(" ", text))


def tag_parts(text: str, name: str, depth: int = 0) -> list[str]:
    """Return the passages between a tag of this name and its end; tags in it are looked into, `_MAX_NESTED` deep."""
    text = _METADATA.sub("", text)
    contents = list(_contents(text))
    if not contents and depth < _MAX_NESTED and (nested := tag_pairs(text)):
        return [part for pair in nested for part in tag_parts(text[pair.inner : pair.inner_end], pair.name, depth + 1)]
    if contents:
        return contents
    return _cleaned([text]) if _SINGLE.search(name) else parts(text)


def _contents(text: str) -> Iterator[str]:
    opened: re.Match[str] | None = None
    for tag in _CONTENT.finditer(text):
        if not tag.group(1):
            opened = opened or tag
        elif opened is not None and tag.group(2).lower() == opened.group(2).lower():
            yield from _cleaned([text[opened.end() : tag.start()]])
            opened = None


def parts(text: str) -> list[str]:
    """Return the passages in marked text: its labelled items, or the texts between rules, or its paragraphs."""
    text = _ITEM_END.sub("", text)
    if len(quoted := _QUOTE.split(text)) > 2:
        return _cleaned(quoted[1::2])
    lines = text.split("\n")
    if any(_RECORD_VALUE.match(line) for line in lines) and any(RULE.match(line) for line in lines):
        return _cleaned(_split([line for line in lines if not _RECORD_END.match(line)], RULE, _RECORD_VALUE))
    if any(marks.LABEL.match(line) for line in lines):
        return _cleaned(_split(lines, marks.LABEL))
    if any(RULE.match(line) or _SOURCE_LINE.match(line) for line in lines):
        kept = [line for line in lines if not _TREE.match(line)]
        return _cleaned(_split(kept, RULE, _SOURCE_LINE))
    filled = [line for line in lines if line.strip()]
    if len(filled) > 1 and all(_FILE.match(line) for line in filled):
        return _cleaned(filled)
    return _cleaned(re.split(r"\n[ \t]*\n", text))


def _split(lines: list[str], *marks: re.Pattern[str]) -> list[str]:
    """Split before each line that starts with a mark, and remove the mark."""
    items: list[list[str]] = [[]]
    for line in lines:
        found = next((match for mark in marks if (match := mark.match(line))), None)
        if found:
            items.append([line[found.end() :]])
        else:
            items[-1].append(line)
    return ["\n".join(item) for item in items]


def _cleaned(texts: list[str]) -> list[str]:
    return [text for raw in texts if (text := raw.strip().strip("«»").strip()) and re.search(r"\w", text)]


def sentences(text: str) -> list[str]:
    """Split a text into sentences and lines."""
    return [
        piece for piece in re.split(r"(?<=[.!?。！？।۔؟])\s+|(?<=[。！？])|\n+", text) if piece and not piece.isspace()
    ]
