"""Splits a prompt into its question and its passages.

Each line of a prompt is a mark, a question, the stub of an answer, or plain text. A line with one of `MARKS` may open
material, which goes on until a line of another kind; tags may stand anywhere. The material counts if it passes the
test (`Proof`) of its mark.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence, Set
from itertools import pairwise
from typing import NamedTuple

from qualitrace_collector.convert.content.prompt import marks
from qualitrace_collector.convert.content.prompt.material import (
    RECORD,
    RULE,
    Pair,
    Setting,
    parts,
    sentences,
    shows,
    tag_pairs,
    tag_parts,
)

# Characters of a prompt that are searched for material; the rest belongs to the question.
MAX_READ = 2_000_000

# Lines that an introduction may have, lines around material in which a sentence may lead to it, and lines before it in
# which a question may stand.
_MAX_INTRODUCTION = 12
_NEAR = 15
_JUST_BEFORE = 3

# What closes material, by the kind of the line that opened it.
_CLOSED_BY = {
    "block": frozenset({"end", "block"}),
    "fence": frozenset({"code", "fence"}),
    "field": frozenset({"ask", "stop", "field"}),
}
_FENCE = re.compile(r"(?m)^[ \t]{0,8}```")
_NUMBERED_OR_NAMED = re.compile(r"(?i)\b(?:id|index|name|title)\s*=")
_REFERS_BACK = re.compile(r"(?i)\W*the above|以上")
_RUNS_ON = re.compile(r"[ \t]{0,8}(?:[a-zà-ÿ]|[?,;)`'\"])")

# Characters of a line that are looked at.
_MAX_LINE = 600

_MAX_HEADING = 200
_CUT = re.compile(
    r"(?i)\n|(?<=[.!?…。！？”\"»)])[ \t]{1,4}"
    r"(?=(?:(?:user )?question|query|context|(?:helpful |final )?answer)[ \t]?[:：])"
)
_LONE_TAG = re.compile(r"\s*`?</?[A-Za-z][\w-]{0,60}>`?\s*\Z")
_CODE = re.compile(r"[ \t]*```")
_TITLE = re.compile(r"[ \t]*(#{1,6})[ \t]")

_SURE = ("field", "block", "fence", "said", "heading", "title", "loose heading")

# Marks whose own line is a part of the material already.
_LISTS = frozenset({"inline", "numbered", "record"})

_OPENERS = (*_SURE, "lead", "inline", "numbered", "record", "paragraph")
_SECTIONS = frozenset(_OPENERS) - _LISTS

# Kinds of lines with which material ends.
_CLOSERS = _SECTIONS | {"ask", "answer", "stop", "end"}


class _Line(NamedTuple):
    """A line of a prompt, or the part of a line after a label.

    Attributes:
        behind: where the text after the mark begins.
        level: of a Markdown title, 0 for other lines.
        leads: whether it says to answer from material.
    """

    start: int
    behind: int
    end: int
    kind: str
    level: int = 0
    leads: bool = False


def _read_lines(text: str) -> list[_Line]:
    """Return the lines of a prompt; within code and examples all lines are plain text."""
    cuts = [0, *(cut.end() for cut in _CUT.finditer(text)), len(text)]
    lines = [_line(text, start, end) for start, end in pairwise(cuts) if start < end]
    return _without_examples(_without_code(lines))


def _line(text: str, start: int, end: int) -> _Line:
    line = text[start : min(end, start + _MAX_LINE)].rstrip()
    if not line:
        return _Line(start, end, end, "blank")
    lowered = line.lower()
    hinted = not line.isascii() or any(word in lowered for word in marks.HINTS)
    leads = hinted and bool(marks.LEAD.search(line))
    if hinted and (found := marks.ASK.match(line)):
        return _Line(start, start + found.end(), end, "ask", leads=leads)
    if hinted and (found := marks.ANSWER.match(line)):
        return _Line(start, end, end, "answered" if line[found.end() :].strip() else "answer")
    title = _TITLE.match(line)
    kind, behind = _kind(line, _OPENERS if hinted else ("numbered", "record"), leads)
    return _Line(start, start + behind if behind else end, end, kind, len(title.group(1)) if title else 0, leads)


def _kind(line: str, openers: Sequence[str], leads: bool) -> tuple[str, int]:
    """Return what a line is, and where the text after its mark begins, 0 if there is none."""
    if RULE.match(line):
        return "rule", 0
    promises = leads and marks.MARKS["paragraph"].opens.search(line) is not None
    opens = leads and line[-1] in ":："
    stops = not (promises or opens) and marks.STOP.match(line) is not None
    ends = line[-1] in ":：." or " below" in line
    fits = {
        "lead": leads and ends,
        "said": ends,
        "inline": True,
        "numbered": True,
        "record": True,
        "paragraph": promises,
    }
    for kind in openers:
        if (stops and kind not in _SURE) or not fits.get(kind, len(line) <= _MAX_HEADING):
            continue
        if kind == "paragraph":
            return kind, 0
        if found := marks.MARKS[kind].opens.match(line):
            return kind, found.end() if kind == "inline" else 0
    for kind, pattern in (("end", marks.END), ("end", _LONE_TAG), ("code", _CODE)):
        if pattern.match(line):
            return kind, 0
    return "stop" if stops else "", 0


def _without_code(lines: list[_Line]) -> list[_Line]:
    """Make the lines inside a code fence plain."""
    fences = [number for number, line in enumerate(lines) if line.kind in ("code", "fence")]
    inside = {number for start, end in zip(fences[::2], fences[1::2], strict=False) for number in range(start + 1, end)}
    return [line._replace(kind="", leads=False) if number in inside else line for number, line in enumerate(lines)]


def _without_examples(lines: list[_Line]) -> list[_Line]:
    """Make answered questions plain text, and everything up to the answer of an example."""
    found = [line for line in lines if line.kind in ("ask", "answered")]
    done = {line.start for line, after in pairwise(found) if (line.kind, after.kind) == ("ask", "answered")}
    plain = [line._replace(kind="", behind=line.end) if line.start in done else line for line in lines]
    opening = [line.start for line in plain if line.kind in ("said", "heading", "title", "field")]
    opening += [line.start for line, after in pairwise(plain) if (line.kind, after.kind) == ("ask", "rule")]
    last = max(opening, default=-1)
    example = max((line.start for line in plain if line.kind == "answered" and line.start < last), default=-1)
    return [line._replace(kind="", behind=line.end) if line.start <= example else line for line in plain]


class _Block(NamedTuple):
    """Material: where it begins and ends with its marks, and its passages."""

    start: int
    end: int
    passages: list[str]


def split_prompt(text: str, role: marks.Role = "user") -> tuple[str, list[str]]:
    """Split a prompt into the question and the passages to answer it from; without marks all of it is the question."""
    head = text[:MAX_READ]
    lines = _read_lines(head)
    blocks = _tagged(head, role, lines) or _Sections(head, role, lines).blocks()
    if not blocks:
        return text, []
    return _question(text, lines, blocks), [passage for block in blocks for passage in block.passages]


def _tagged(text: str, role: marks.Role, lines: Sequence[_Line]) -> list[_Block]:
    pairs = tag_pairs(text)
    if not pairs:
        return []
    fences = [fence.start() for fence in _FENCE.finditer(text)]
    starts = [line.start for line in lines]
    proof = marks.MARKS["tag"].proof(role)
    found: list[_Block] = []
    for pair in pairs:
        passages = [] if _is_quoted(text, pair, fences) else tag_parts(text[pair.inner : pair.inner_end], pair.name)
        near = lines[max(0, bisect_right(starts, pair.start) - _NEAR) : bisect_right(starts, pair.end) + _NEAR]
        setting = Setting(led=any(line.leads for line in near), asked=False, labelled=False)
        if passages and shows(proof, "\n".join(passages), setting):
            found.append(_Block(pair.start, pair.end, passages))
    return found


def _is_quoted(text: str, pair: Pair, fences: Sequence[int]) -> bool:
    """Whether a pair of tags is only mentioned or shown: as HTML, as code, or in the middle of a sentence."""
    if marks.HTML_SOURCE.search(pair.attributes) and not _NUMBERED_OR_NAMED.search(pair.attributes):
        return True
    before = bisect_right(fences, pair.start)
    if before % 2 and before < len(fences):
        return True
    ahead = text[max(0, pair.start - 8) : pair.start].rstrip(" \t")[-1:]
    in_sentence = ahead.isalnum() or ahead in {"(", ",", '"', "'"}
    return ahead == "`" or (in_sentence and _RUNS_ON.match(text, pair.end) is not None)


class _Sections:
    """The search of a prompt for material after lines that mark it."""

    def __init__(self, text: str, role: marks.Role, lines: Sequence[_Line]) -> None:
        self._text = text
        self._role: marks.Role = role
        self._lines = lines
        self._asked = any(line.kind == "ask" for line in lines)

    def blocks(self) -> list[_Block]:
        """Return the material that shows its proof, in order."""
        found: list[_Block] = []
        number = 0
        while number < len(self._lines):
            first, stop = self._extent(number)
            block = self._block(number, first, stop) if first < stop else None
            if block:
                found.append(block)
            kind = self._lines[number].kind
            number = stop if first < stop and (block or kind in _LISTS) else number + 1
        return found

    def _extent(self, number: int) -> tuple[int, int]:
        """Return the first line of what a line opens, and the line after its last; equal if it opens nothing."""
        line, first = self._lines[number], number + 1
        if line.kind == "ask" and self._kind(first) == "rule" and self._text.startswith("===", line.end):
            return first, min(self._next(first + 1, {"rule"}) + 1, len(self._lines))
        if line.kind in _LISTS:
            return number, self._end_of_records(number) if line.kind == "record" else self._end_of_section(number, line)
        if line.kind in _CLOSED_BY:
            stop = self._next(first, _CLOSED_BY[line.kind])
            return (first, stop) if line.kind != "block" or self._kind(stop) == "end" else (number, number)
        if line.kind == "paragraph":
            first = self._after_introduction(first)
        if line.kind not in _SECTIONS or (not line.level and self._kind(self._next_filled(first)) == "inline"):
            return number, number
        return first, self._end_of_section(first, line)

    def _kind(self, number: int) -> str:
        return self._lines[number].kind if number < len(self._lines) else "end of text"

    def _next(self, number: int, kinds: Set[str]) -> int:
        while number < len(self._lines) and self._lines[number].kind not in kinds:
            number += 1
        return number

    def _end_of_records(self, number: int) -> int:
        """Return the line after the rule of the last record that starts here; each has its rule and its value."""
        end = number
        while self._kind(self._next_filled(number)) == "record":
            start = self._next_filled(number)
            number = self._next(start + 1, {"rule", "record"}) + 1
            lines = self._text[self._lines[start].end : self._lines[min(number, len(self._lines)) - 1].start]
            if self._kind(number - 1) != "rule" or not RECORD.match(lines):
                break
            end = number
        return end

    def _next_filled(self, number: int) -> int:
        while self._kind(number) == "blank":
            number += 1
        return number

    def _after_introduction(self, number: int) -> int:
        """Return the line after a paragraph that promises material, and after instructions that follow it."""
        last = min(len(self._lines), number + _MAX_INTRODUCTION)
        while number < last and self._kind(number) not in (_CLOSERS - {"stop"}) | {"rule", "blank"}:
            number += 1
        while number < last and self._kind(number) in ("blank", "stop"):
            number += 1
        return number

    def _end_of_section(self, first: int, opener: _Line) -> int:
        for number in range(first, len(self._lines)):
            line = self._lines[number]
            closes = line.kind in _CLOSERS and (number > first or opener.kind not in ("inline", "numbered"))
            is_next_title = line.level and (self._role == "system" or (number > first and line.level <= opener.level))
            if closes or is_next_title:
                return number
        return max(first, len(self._lines))

    def _block(self, number: int, first: int, stop: int) -> _Block | None:
        line = self._lines[number]
        if line.kind == "numbered" and not self._starts_list(first, stop):
            return None
        start, end = self._lines[first].start, self._lines[stop - 1].end
        if line.kind in _LISTS:
            start = line.behind if line.kind == "inline" else line.start
        inner_start, inner_end = start, end
        if line.kind != "record":
            inner_start, inner_end, end = self._inside(first, stop, start, end)
        body = self._text[inner_start:inner_end]
        proof = marks.MARKS["said" if line.kind == "ask" else line.kind].proof(self._role)
        rest = self._text[max(end, len(self._text) - _MAX_LINE) :].rstrip()
        setting = Setting(
            led=self._is_led(number, first, stop),
            asked=self._is_asked(number, stop) or rest.endswith(marks.QUESTION_MARKS),
            labelled=marks.LABEL.match(body.lstrip()) is not None,
        )
        passages = parts(body)
        if not shows(proof, "\n".join(passages), setting):
            return None
        opening = self._lines[first].start if line.kind in ("ask", "paragraph") else line.start
        return _Block(opening, end, passages) if passages else None

    def _is_led(self, number: int, first: int, stop: int) -> bool:
        """Whether a sentence close to the material says to answer from it."""
        near = (*range(max(0, number - _NEAR), first), *range(stop, min(len(self._lines), stop + _NEAR)))
        return any(self._lines[other].leads for other in near)

    def _is_asked(self, number: int, stop: int) -> bool:
        """Whether a question or the stub of an answer follows the material, or a question comes right before it."""
        before = range(max(0, number - _JUST_BEFORE), number)
        start = self._lines[number].start
        return (
            self._kind(stop) in ("ask", "answer")
            or any(self._kind(other) == "ask" for other in before)
            or self._text[max(0, start - _MAX_LINE) : start].rstrip().endswith(marks.QUESTION_MARKS)
        )

    def _starts_list(self, first: int, stop: int) -> bool:
        labels = [
            found
            for line in self._lines[first:stop]
            if line.kind == "numbered" and (found := marks.LABEL.match(self._text, line.start, line.end))
        ]
        return len(labels) > 1 and (labels[0].group(1) or labels[0].group(2) or labels[0].group(3)) == "1"

    def _inside(self, first: int, stop: int, start: int, end: int) -> tuple[int, int, int]:
        """Return where material begins and ends, and where the rules or quotes that enclose it end."""
        first = self._next_filled(first)
        if first >= stop:
            return start, start, end
        if self._kind(first) == "rule":
            rule = self._line_text(first)
            closes = [n for n in range(first + 1, stop) if self._kind(n) == "rule" and self._line_text(n) == rule]
            if closes and not _REFERS_BACK.match(self._line_text(stop)):
                return self._lines[first].end, self._lines[closes[-1]].start, self._lines[closes[-1]].end
            return self._lines[first].end, end, end
        if self._kind(first) == "code":
            closing = self._next(first + 1, {"code"})
            if closing < stop:
                return self._lines[first].end, self._lines[closing].start, self._lines[closing].end
        end = self._without_request(first, stop, end)
        return start, end, end

    def _line_text(self, number: int) -> str:
        line = self._lines[number] if number < len(self._lines) else None
        return self._text[line.start : line.end].strip() if line else ""

    def _without_request(self, first: int, stop: int, end: int) -> int:
        """Return the end without the last paragraphs if they ask or instruct and the section ends with the prompt."""
        if stop < len(self._lines) or self._asked:
            return end
        while (blank := next((n for n in range(stop - 1, first, -1) if self._kind(n) == "blank"), 0)) > first:
            last = self._text[self._lines[blank].end : self._lines[stop - 1].end].strip()
            if last and not (
                last.endswith(marks.QUESTION_MARKS) or all(marks.TO_MODEL.match(said) for said in sentences(last))
            ):
                break
            stop, end = blank, self._lines[blank].start
        return end


def _question(text: str, lines: Sequence[_Line], blocks: Sequence[_Block]) -> str:
    """Return what is asked: the text after the last mark of a question, or else the prompt without its template."""
    if asked := _marked_question(text, lines, blocks):
        return asked
    edges = [0, *(edge for block in blocks for edge in (block.start, block.end)), len(text)]
    outside = [text[edges[n] : edges[n + 1]] for n in range(0, len(edges), 2)]
    kept = [_without_template(piece) for piece in outside]
    if kept[-1].strip() and any(marks.LEAD.search(piece) for piece in outside[:-1]):
        kept = kept[-1:]
    return "".join(kept).strip() or "".join(outside).strip() or text


def _marked_question(text: str, lines: Sequence[_Line], blocks: Sequence[_Block]) -> str:
    tags = [tag for tag in marks.ASK_TAG.finditer(text, 0, MAX_READ) if not _within(tag.start(), blocks)]
    if tags and (end := text.find(f"</{tags[-1].group(1)}>", tags[-1].end())) >= 0:
        return text[tags[-1].end() : end].strip()
    for number in range(len(lines) - 1, -1, -1):
        line = lines[number]
        if line.kind == "ask" and not _within(line.start, blocks):
            after = lines[number + 1 :]
            ends = (end.start for end in after if end.kind in _CLOSERS | {"rule"} or _within(end.start, blocks))
            if asked := text[line.behind : next(ends, len(text))].strip():
                return asked
    return ""


def _within(position: int, blocks: Sequence[_Block]) -> bool:
    number = bisect_right([block.start for block in blocks], position)
    return number > 0 and position < blocks[number - 1].end


def _without_template(text: str) -> str:
    """Leave out instructions about sources and answers; a text without any stays as it is."""
    said = sentences(text)
    kept = [sentence for sentence in said if not _is_template(sentence)]
    return text if len(kept) == len(said) else "\n".join(kept)


def _is_template(sentence: str) -> bool:
    sentence = sentence[:_MAX_LINE]
    return bool(
        any(pattern.match(sentence) for pattern in (RULE, _LONE_TAG, marks.MARKS["said"].opens, marks.STOP))
        or marks.LEAD.search(sentence)
        or (marks.TO_MODEL.match(sentence) and marks.ABOUT_ANSWERS.search(sentence))
    )
