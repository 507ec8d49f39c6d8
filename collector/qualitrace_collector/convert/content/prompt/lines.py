"""A prompt to lines, and what each of them is: a mark, a question, the stub of an answer, or plain text."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from qualitrace_collector.convert.content.prompt.marks import ANSWER, ASK, END, HINTS, LEAD, MARKS, STOP
from qualitrace_collector.convert.content.prompt.parts import RULE

MAX_LINE = 600
"""Characters of a line that are looked at."""

_MAX_HEADING = 200
_CUT = re.compile(
    r"(?i)\n|(?<=[.!?…。！？”\"»)])[ \t]{1,4}"
    r"(?=(?:(?:user )?question|query|context|(?:helpful |final )?answer)[ \t]?[:：])"
)
LONE_TAG = re.compile(r"\s*`?</?[A-Za-z][\w-]{0,60}>`?\s*\Z")
_CODE = re.compile(r"[ \t]*```")
_TITLE = re.compile(r"[ \t]*(#{1,6})[ \t]")

_SURE = ("field", "block", "fence", "said", "heading", "title", "loose heading")
LISTS = frozenset({"inline", "numbered", "record"})
"""Marks whose own line is a part of the material already."""

_OPENERS = (*_SURE, "lead", "inline", "numbered", "record", "paragraph")
SECTIONS = frozenset(_OPENERS) - LISTS
CLOSERS = SECTIONS | {"ask", "answer", "stop", "end"}
"""Kinds of lines with which material ends."""


class Line(NamedTuple):
    """A line of a prompt, or what stands on one line behind a label; `behind` is where its text begins."""

    start: int
    behind: int
    end: int
    kind: str
    level: int = 0
    leads: bool = False


def read_lines(text: str) -> list[Line]:
    """Return the lines of a prompt, without the marks of code and of examples."""
    cuts = [0, *(cut.end() for cut in _CUT.finditer(text)), len(text)]
    lines = [_line(text, start, end) for start, end in pairwise(cuts) if start < end]
    return _without_examples(_without_code(lines))


def _line(text: str, start: int, end: int) -> Line:
    line = text[start : min(end, start + MAX_LINE)].rstrip()
    if not line:
        return Line(start, end, end, "blank")
    lowered = line.lower()
    hinted = not line.isascii() or any(word in lowered for word in HINTS)
    leads = hinted and bool(LEAD.search(line))
    if hinted and (found := ASK.match(line)):
        return Line(start, start + found.end(), end, "ask", leads=leads)
    if hinted and (found := ANSWER.match(line)):
        return Line(start, end, end, "answered" if line[found.end() :].strip() else "answer")
    title = _TITLE.match(line)
    kind, behind = _kind(line, _OPENERS if hinted else ("numbered", "record"), leads)
    return Line(start, start + behind if behind else end, end, kind, len(title.group(1)) if title else 0, leads)


def _kind(line: str, openers: Sequence[str], leads: bool) -> tuple[str, int]:
    """Return what a line is, and where on it the text begins if it bears some besides its mark."""
    if RULE.match(line):
        return "rule", 0
    promises = leads and MARKS["paragraph"].opens.search(line) is not None
    opens = leads and line[-1] in ":："
    stops = not (promises or opens) and STOP.match(line) is not None
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
        if found := MARKS[kind].opens.match(line):
            return kind, found.end() if kind == "inline" else 0
    for kind, pattern in (("end", END), ("end", LONE_TAG), ("code", _CODE)):
        if pattern.match(line):
            return kind, 0
    return "stop" if stops else "", 0


def _without_code(lines: list[Line]) -> list[Line]:
    """Take the marks from lines within a fence of code."""
    fences = [number for number, line in enumerate(lines) if line.kind in ("code", "fence")]
    inside = {number for start, end in zip(fences[::2], fences[1::2], strict=False) for number in range(start + 1, end)}
    return [line._replace(kind="", leads=False) if number in inside else line for number, line in enumerate(lines)]


def _without_examples(lines: list[Line]) -> list[Line]:
    """Take the marks from questions that are answered, and from everything up to the answer of an example."""
    found = [line for line in lines if line.kind in ("ask", "answered")]
    done = {line.start for line, after in pairwise(found) if (line.kind, after.kind) == ("ask", "answered")}
    plain = [line._replace(kind="", behind=line.end) if line.start in done else line for line in lines]
    opening = [line.start for line in plain if line.kind in ("said", "heading", "title", "field")]
    opening += [line.start for line, after in pairwise(plain) if (line.kind, after.kind) == ("ask", "rule")]
    last = max(opening, default=-1)
    example = max((line.start for line in plain if line.kind == "answered" and line.start < last), default=-1)
    return [line._replace(kind="", behind=line.end) if line.start <= example else line for line in plain]
