"""The form of a model's answer, and how it is read: strict about its meaning, lenient about its wrapping and words."""

import contextlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel

from qualitrace_monitors.judges.contract import JudgeError, Label
from qualitrace_monitors.judges.echo import Judged
from qualitrace_monitors.judges.failures import quoted
from qualitrace_monitors.judges.llm.objects import Found, Object, Reading, objects, read_reply

NEITHER = "neither score nor verdict"
COPIED = "it only repeats the judged text"
CUT_OFF = "it is cut off before score and verdict are whole"

SCALE = "score: must be a number from 0 to 1, or name its scale"
LARGEST = 1e9

LONGEST_WORDS = 500  # characters of a score or a verdict that are read

DEEPEST = 4  # wrappings around a verdict that are followed

# Names that models give to each field, letters only and in lower case; the one that they are asked for comes first.
KEYS: Mapping[str, tuple[str, ...]] = {
    "evidence": ("evidence", "quote", "quotes", "excerpt", "citation", "citations"),
    "reason": ("reason", "reasoning", "rationale", "explanation", "justification", "analysis", "comment", "feedback"),
    "score": ("score", "finalscore", "overallscore", "rating", "grade"),
    "verdict": (
        *("verdict", "finalverdict", "label", "judgment", "judgement", "decision", "result", "outcome"),
        *("pass", "passed"),
    ),
}

_THOUGHTS = frozenset(
    {"think", "thinking", "thought", "thoughts", "scratchpad", "reflection", "draft", "reasoningcontent"}
)

# Words for each verdict, in English and, where they are clear, in German, French and Spanish.
WORDS: Mapping[Label, frozenset[str]] = {
    "pass": frozenset(
        "pass|passed|passes|passing|yes|true|correct|ok|okay|acceptable|accept|accepted|approved|success|successful|valid"
        "|ja|oui|sí|si|richtig|korrekt|wahr|bestanden|erfüllt|vrai|réussi|correcto|verdadero|aprobado".split("|")
    ),
    "fail": frozenset(
        "fail|failed|fails|failing|failure|no|false|incorrect|wrong|not correct|not ok|unacceptable|not acceptable"
        "|rejected|reject|invalid|not pass|not passed|does not pass|doesn't pass|did not pass|didn't pass|not a pass"
        "|nein|non|falsch|nicht bestanden|durchgefallen|nicht erfüllt|faux|échec|échoué|incorrecto|falso|reprobado"
        "|fallido|no aprobado".split("|")
    ),
    "unsure": frozenset(
        "unsure|uncertain|not sure|unknown|unclear|undecided|undetermined|indeterminate|inconclusive|ambiguous|maybe"
        "|n/a|n.a|na|not applicable|cannot tell|can't tell|cannot say|can't say|cannot determine|cannot be determined"
        "|can't determine|cannot judge|don't know|do not know|insufficient information|not enough information"
        "|unsicher|unklar|unbekannt|incertain|incierto|inseguro".split("|")
    ),
}

_LABELS: dict[str, Label] = {word: label for label, words in WORDS.items() for word in words}
_WRAPPED = ("{", "[", "```")
_MISSING = ("", "null", "none", "-")
_SCORES: Mapping[Label, float] = {"pass": 1.0, "fail": 0.0, "unsure": 0.5}

_NUMBER = r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[-+]?\d+)?"
_SCORE = re.compile(
    rf"(?:score\s*[:=]\s*)?[~≈]?\s*(?P<number>{_NUMBER})"
    rf"\s*(?:(?P<percent>%|percent\b)|(?:/|(?:(?:out\s+)?of|von|sur|de)\b)\s*(?P<whole>{_NUMBER})(?:\s+(?:points|stars))?)?"
    r"\s*(?:\([^()]*\)\s*|[-–—:;,.]\s*[^\W\d].*)?[.,]?",
    re.DOTALL,
)
_AFTER = re.compile(r"\s*(?:[\n;,!?(\[–—]|[.:](?=\s|$))\s*|\s+-+\s+|\s+(?:because|since|as|due|given|with|but)\s+")
_BEFORE = re.compile(r"^(?:final\s+|overall\s+)?(?:verdict|label|result|judge?ment|decision)\s*(?:[:=]|is\b)\s*")
# A verdict after a verdict, as in the form of the answer that the model was given.
_CHOICE = re.compile(r"\W*(?:(?:or|and)\W+)?(?:pass|fail|unsure)\b")
_AROUND = re.compile(r"^[^\w]+|[^\w]+$")

# What may follow a model's only object: marks, tags and tokens.
_END = re.compile(r"(?:[^\w\"'{]|</?\w{1,30}>|<\|\w{1,30}\|>)*")
# A line of prose that states a score or a verdict, in any markup of lists, quotes and emphasis.
_LINE = re.compile(
    r"^[^\w\n{}\"']{0,20}(?:(?:final|overall)\s)?(?P<field>score|verdict)[*_`]{0,3}\s?[:=](?P<value>[^\n{}]{1,200})$",
    re.IGNORECASE | re.MULTILINE,
)

_T = TypeVar("_T")


class Verdict(BaseModel):
    """Evidence and reason, then a score from 0 (worst) to 1 (best) and the verdict."""

    # Evidence and reason come first, so that the model writes them before it decides on a score.
    # Without bounds or defaults: some providers refuse a JSON schema that has them. The name and the docstring of this
    # class are part of the schema that the model gets.
    evidence: str
    reason: str
    score: float
    verdict: Literal["pass", "fail", "unsure"]


class _Stated(NamedTuple):
    """The fields of one object, which may state several scores or verdicts."""

    evidence: str
    reason: str
    scores: list[float]
    labels: list[Label]


def read_verdict(reply: str, judged: Iterable[str] = ()) -> Verdict:
    """Find the verdict in a reply: a JSON object or nearly one, bare, fenced, wrapped or amid prose; never in thoughts.

    A verdict without a score counts as 1, 0 or (unsure) 0.5; a score without a verdict passes from 0.5 on. A score
    outside 0 to 1 is refused unless it names its scale (`9/10`, `90%`).

    Args:
        reply: what the model wrote.
        judged: the texts that it judged, as it saw them; a verdict copied from them does not count.

    Raises:
        JudgeError: it has no verdict, or several that differ.
    """
    reading, texts = read_reply(reply), Judged(judged)
    own = [item for item in reading.found if not texts.holds(item.source)]
    stated, problem = _all_stated(own, reading, texts)
    in_prose = _stated_in_prose(reading.prose, texts)
    scores = {score for one in (*stated, in_prose) for score in one.scores}
    labels: set[Label] = {label for one in (*stated, in_prose) for label in one.labels}
    if not reply.strip():
        problem = "no JSON object, it is empty"
    elif reading.found and not own:
        problem = COPIED
    elif not stated:
        pass
    elif len(scores) > 1 or len(labels) > 1:
        problem = "it holds two verdicts that differ"
    elif off := [score for score in scores if not 0 <= score <= 1]:
        problem = f"{SCALE} (got {off[0]:g})"
    else:
        evidence = next((one.evidence for one in stated if one.evidence), "")
        reason = next((one.reason for one in stated if one.reason), "")
        score, label = next(iter(scores), None), next(iter(labels), None)
        if label is None:
            label = "pass" if score is not None and score >= 0.5 else "fail"
        return Verdict(
            evidence=evidence, reason=reason, score=_SCORES[label] if score is None else score, verdict=label
        )
    raise JudgeError(f"the model's reply is no verdict ({problem}): {quoted(reply)}")


def _is_clean(item: Found, reading: Reading) -> bool:
    """Whether an object is what was asked for: JSON, no other members, none twice, nothing after it."""
    if not (item.strict and item is reading.found[-1] and isinstance(item.value, Object)):
        return False
    keys = [_bare(key) for key, _ in item.value.members]
    known = all(key in _THOUGHTS or any(key in names for names in KEYS.values()) for key in keys)
    return known and len(set(keys)) == len(keys) and _END.fullmatch(reading.rest) is not None


def _stated_in_prose(prose: list[str], judged: Judged) -> _Stated:
    """Read the lines around the objects that state a score or a verdict in so many words, and are the model's own."""
    stated = _Stated("", "", [], [])
    for line in _LINE.finditer("\n".join(prose)):
        if judged.holds(line[0]):
            continue
        with contextlib.suppress(ValueError):  # words that only begin like one
            if line["field"].lower() == "verdict":
                stated.labels.append(_label(line["value"]))
            elif (score := _score(line["value"])) is not None:
                stated.scores.append(score)
    return stated


def _is_copied(value: Object, item: Found, reading: Reading, judged: Judged) -> bool:
    """Whether an object is the judged text's: it is found there, or what decides in it is, and its form is in doubt.

    A model that quotes without escaping ends its own object where the judged text says so.
    """
    if judged.holds(_text(value)):
        return True
    decisive = [f"{key} {_text(member)}" for key, member in value.members if _names(key, "score", "verdict")]
    return not _is_clean(item, reading) and all(map(judged.holds, decisive))


def _all_stated(found: list[Found], reading: Reading, judged: Judged) -> tuple[list[_Stated], str]:
    """Read the fields of all objects; the second value is what is wrong with the last unreadable one."""
    stated: list[_Stated] = []
    problem = "no JSON object" if not found else NEITHER
    for item in found:
        for candidate in _candidates(item.value, judged):
            if _is_copied(candidate, item, reading, judged):
                problem = COPIED
                continue
            try:
                stated.append(_read(candidate, item.whole))
            except ValueError as error:
                problem = str(error)
        if not stated and not (item.whole and item.value):
            problem = "its JSON is too broken" if item.whole else CUT_OFF
    return stated, problem


def _candidates(value: Any, judged: Judged, depth: int = 0) -> Iterator[Object]:
    """Yield the objects that state a score or a verdict, or else those that they wrap, unless as a text of others."""
    if depth > DEEPEST:
        return
    if isinstance(value, str) and value.lstrip().startswith(_WRAPPED):
        value = [found.value for found in objects(value) if not judged.holds(found.source)]
    if isinstance(value, Object):
        if any(_names(key, "score", "verdict") and _is_plain(member) for key, member in value.members):
            yield value
            return
        value = [member for key, member in value.members if not _is_text(key)]
    if isinstance(value, list):
        for item in value:
            yield from _candidates(item, judged, depth + 1)


def _bare(key: str) -> str:
    return "".join(filter(str.isalpha, key.lower().partition("(")[0]))


def _names(key: str, *fields: str) -> bool:
    return any(_bare(key) in KEYS[field] for field in fields)


def _is_text(key: str) -> bool:
    """Whether a member of this name holds thoughts, evidence or reasons, in which no verdict is looked for."""
    return _bare(key) in _THOUGHTS or _names(key, "evidence", "reason")


def _is_missing(value: Any) -> bool:
    """Whether a member says nothing."""
    return value is None or value in ([], Object(())) or (isinstance(value, str) and value.strip().lower() in _MISSING)


def _is_plain(value: Any) -> bool:
    """Whether a value can be a score or a verdict: it says something, and wraps nothing."""
    if isinstance(value, list):
        return len(value) == 1 and _is_plain(value[0])
    wraps = isinstance(value, Object) or (isinstance(value, str) and value.lstrip().startswith(_WRAPPED))
    return not wraps and not _is_missing(value)


def _read(value: Object, whole: bool) -> _Stated:
    """Read an object's fields.

    Raises:
        ValueError: what is wrong with them.
    """
    scores, labels = _field(value, "score", _score), _field(value, "verdict", _label)
    if not whole and not (scores and labels):
        raise ValueError(CUT_OFF)
    if not (scores or labels):
        raise ValueError(NEITHER)
    return _Stated(_words(value, "evidence"), _words(value, "reason"), scores, labels)


def _field(value: Object, field: str, read: Callable[[Any], _T | None]) -> list[_T]:
    """Read the members that stand for a field; those under its less usual names may be about something else."""
    members = [(_bare(key), member) for key, member in value.members if _names(key, field) and not _is_missing(member)]
    chief = min((name for name, _ in members), key=KEYS[field].index, default="")
    readings: list[_T] = []
    for name, member in members:
        try:
            reading = read(member[0] if isinstance(member, list) and len(member) == 1 else member)
        except ValueError:
            if name == chief:
                raise
            continue
        if reading is not None:
            readings.append(reading)
    return readings


def _score(value: Any) -> float | None:
    """Read a score, a number or words for one; None if it says that there is none."""
    if isinstance(value, str):
        words = value.strip().lower()[:LONGEST_WORDS]
        if words in WORDS["unsure"]:
            return None
        stated = _SCORE.fullmatch(words)
        value = _scaled(stated) if stated else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST < value < LARGEST:
        raise ValueError(f"{SCALE} (got {quoted(_text(value))})")
    return float(value)


def _scaled(stated: re.Match[str]) -> float:
    number, whole = (float((stated[part] or "1").replace(",", ".")) for part in ("number", "whole"))
    if stated["percent"]:
        whole = 100.0
    return number / whole if whole else math.nan


def _label(value: Any) -> Label:
    """Read a verdict: one of `WORDS`, in any case, perhaps with a reason after it."""
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return "pass" if value else "fail"
    words = value.lower()[:LONGEST_WORDS].replace("’", "'") if isinstance(value, str) else ""
    words = _BEFORE.sub("", _AROUND.sub("", words))
    head, *rest = _AFTER.split(words, maxsplit=1)
    head = words if words in _LABELS else _AROUND.sub("", head)
    if head not in _LABELS or _CHOICE.match(" ".join(rest)):
        raise ValueError(f"verdict: must be pass, fail or unsure (got {quoted(_text(value))})")
    return _LABELS[head]


def _words(value: Object, field: str) -> str:
    texts = (_text(member) for key, member in value.members if _names(key, field))
    return next((text for text in texts if text), "")


def _text(value: Any, depth: int = 0) -> str:
    """Write any JSON as words for a person, without lone surrogates, which databases refuse."""
    if value is None or depth > DEEPEST:
        return ""
    if isinstance(value, Object):
        return "; ".join(f"{_text(key)}: {_text(member, depth + 1)}" for key, member in value.members)
    if isinstance(value, list):
        return "; ".join(_text(item, depth + 1) for item in value)
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
