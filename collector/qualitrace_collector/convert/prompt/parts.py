"""Material to passages: one per document, label or paragraph, without the markup between them."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from qualitrace_collector.convert.prompt.marks import LABEL, TAG

RULE = re.compile(r"[ \t]*([-=_*~])\1{2,}[ \t]*\Z")
RECORD_VALUE = re.compile(r"[ \t]*Value: ?")
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
_QUOTE = re.compile(r"\"\"\"|'''")


class Pair(NamedTuple):
    """A tag with its end: where both begin and end, the tag's name in lower case and its attributes."""

    start: int
    inner: int
    inner_end: int
    end: int
    name: str
    attributes: str


def tag_pairs(text: str) -> list[Pair]:
    """Return the outermost pairs; an end belongs to the last opening tag of its name, others are only spoken of."""
    opened: dict[str, list[re.Match[str]]] = {}
    pairs: list[Pair] = []
    for tag in TAG.finditer(text):
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


def tag_parts(text: str, name: str) -> list[str]:
    """Return the passages in what stands between a tag of this name and its end."""
    text = _METADATA.sub("", text)
    contents = list(_contents(text))
    if not contents and (nested := tag_pairs(text)):
        return [part for pair in nested for part in tag_parts(text[pair.inner : pair.inner_end], pair.name)]
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
    """Return the passages in marked text: its labelled items, else what stands between rules, else its paragraphs."""
    text = _ITEM_END.sub("", text)
    if len(quoted := _QUOTE.split(text)) > 2:
        return _cleaned(quoted[1::2])
    lines = text.split("\n")
    if any(RECORD_VALUE.match(line) for line in lines) and any(RULE.match(line) for line in lines):
        return _cleaned(_split([line for line in lines if not _RECORD_END.match(line)], RULE, RECORD_VALUE))
    if any(LABEL.match(line) for line in lines):
        return _cleaned(_split(lines, LABEL))
    if any(RULE.match(line) or _SOURCE_LINE.match(line) for line in lines):
        kept = [line for line in lines if not _TREE.match(line)]
        return _cleaned(_split(kept, RULE, _SOURCE_LINE))
    filled = [line for line in lines if line.strip()]
    if len(filled) > 1 and all(_FILE.match(line) for line in filled):
        return _cleaned(filled)
    return _cleaned(re.split(r"\n[ \t]*\n", text))


def _split(lines: list[str], *marks: re.Pattern[str]) -> list[str]:
    """Split before each line that bears a mark, and take the mark off."""
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
        piece for piece in re.split(r"(?<=[.!?。！？])\s+|(?<=[。！？])|\n+", text) if piece and not piece.isspace()
    ]
