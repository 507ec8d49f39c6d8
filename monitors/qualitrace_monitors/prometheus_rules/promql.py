"""How texts are written in PromQL and in the templates of annotations."""

import json
import re
from collections.abc import Collection, Iterator

from qualitrace_collector.pipeline.match import is_glob

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def quoted(text: str) -> str:
    """Write a string of PromQL: quotes, backslashes and line ends are escaped, every script stays as it is."""
    return json.dumps(
        text, ensure_ascii=False
    )  # Go reads all of JSON's escapes but those of surrogates, which it lacks


def series(metric: str, /, **labels: str) -> str:
    """Write a series, or the selector of those with these labels."""
    return selector(metric, *(equals(name, value) for name, value in labels.items()))


def selector(metric: str, *matchers: str) -> str:
    """Write the selector of series that all matchers fit."""
    return f"{metric}{{{','.join(matchers)}}}" if matchers else metric


def equals(label: str, value: str) -> str:
    """Write the matcher of a label's value."""
    return f"{label}={quoted(value)}"


def fits(label: str, globs: Collection[str]) -> str:
    """Write the matcher of values that fit one of these globs: as `fnmatchcase` does, in the syntax of RE2."""
    if len(globs) == 1 and not is_glob(glob := next(iter(globs))):
        return equals(label, glob)
    return f"{label}=~{quoted('|'.join(''.join(_regex(glob)) for glob in globs))}"


_PARTS = re.compile(r"\[(?:!?\][^\]]*|![^\]]+|[^\]!][^\]]*)\]|.", re.DOTALL)
_RANGE = re.compile(r"(.)-(.)|(.)", re.DOTALL)
_MEANT = re.compile(r"([!-/:-@\[-`{-~])")  # the punctuation of ASCII, which both syntaxes take with a backslash
_WILD = {"*": "(?s:.*)", "?": "(?s:.)"}


def _regex(glob: str) -> Iterator[str]:
    """Yield the parts of an expression, which Prometheus anchors at both ends."""
    for part in _PARTS.findall(glob):
        if len(part) > 1:
            yield _set(part[1:-1])
        else:
            yield _WILD.get(part) or _escaped(part)


def _set(inner: str) -> str:
    """Write a set of characters; a range that goes backwards is none."""
    negated = inner.startswith("!")
    found = "".join(
        f"{_escaped(low)}-{_escaped(high)}" if low else _escaped(single)
        for low, high, single in _RANGE.findall(inner[negated:])
        if low <= high
    )
    if not found:
        return _WILD["?"] if negated else r"[^\s\S]"
    return f"[{'^' if negated else ''}{found}]"


def _escaped(text: str) -> str:
    return _MEANT.sub(r"\\\1", text)


def duration(seconds: float) -> str:
    """Write a duration, which is at least a second and whole: `90m`, `7d`."""
    whole = max(1, round(seconds))
    unit, size = next((unit, size) for unit, size in _UNITS if whole % size == 0)
    return f"{whole // size}{unit}"


def plain(text: str) -> str:
    """Write a text of the user's in a template, in which `{{` begins an expression."""
    return text.replace("{{", '{{ "{{" }}')
