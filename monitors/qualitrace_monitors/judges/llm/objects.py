"""The JSON objects in a model's reply: without its thoughts, with slips of form repaired and duplicate keys kept.

Text that is JSON or a Python literal is read as such: a repair could take text within a string for a member, and so let
the judged text state a verdict. Everything else is left to json-repair. It silently keeps the last of duplicate keys
and drops the `%` of a bare number, so keys are made to differ and such numbers are quoted before.
"""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from json_repair import repair_json

# Characters of a reply that are read: its beginning and its end, between which may be long thoughts.
LONGEST_REPLY = 64 * 1024

# Stands where a reply was cut, and is not a character of Unicode's.
_CUT = "\uffff"

LONGEST_REPAIR = 8 * 1024  # characters of one reply that are repaired, in time that grows with their square

DEEPEST = 32  # objects in objects that are followed

MOST_BRACES = 500  # braces and marks of thoughts that are looked at


class Object(NamedTuple):
    """A JSON object; a key may occur more than once."""

    members: tuple[tuple[str, Any], ...]


class Found(NamedTuple):
    """One object of a reply.

    Attributes:
        value: an `Object`, a list of them, or None if its form leaves doubt.
        source: its text in the reply.
        whole: False if the reply ends within it; its last member is then left out.
        strict: whether it is JSON, without a slip of form.
    """

    value: Any
    source: str
    whole: bool
    strict: bool = False


class Reading(NamedTuple):
    """A reply without its thoughts.

    Attributes:
        found: its outermost objects, in order.
        prose: the texts before, between and after them.
        rest: all that follows the last object, thoughts as well.
    """

    found: list[Found]
    prose: list[str]
    rest: str


_THOUGHTS = r"[\w:.-]{0,30}(?:think|thought|reason|reflect|analysis|scratchpad|monologue)[\w-]{0,30}"
_MARK = re.compile(
    # Tags, those of Kimi and Magistral; Cohere's and others' tokens; harmony's channels (OpenAI's gpt-oss).
    rf"(?P<open><\|?(?!end_){_THOUGHTS}(?:\s[^<>/]{{0,200}})?\|?>|◁think▷|\[think\]"
    r"|<\|(?:start_thinking|begin_of_thought)\|>|<\|channel\|>\s*(?:analysis|commentary))"
    rf"|(?P<close><\|?/{_THOUGHTS}\s*\|?>|◁/think▷|\[/think\]"
    r"|<\|(?:end_thinking|end_of_thought)\|>|<\|channel\|>\s*final|\bassistantfinal)"
    r"|{",
    re.IGNORECASE,
)
# An object whose brace the model left out, as if it were written already.
_HEADLESS = re.compile(r"""\s*"\w+"\s*:""")

# An object as JSON or nearly, rather than a brace in prose.
_BEGINNING = re.compile(r"""{[\s,]*(?:\\?["'“”‘’„«`]|//|/\*|\#|\w+\s*:)""")

_CUT_OFF = re.compile(r"""{\s*\\?["']""")  # an object that nothing closes, rather than a brace in prose

_BRACES = re.compile(r"""\\.|["'{}]""", re.DOTALL)
_COMMAS = re.compile(r'"(?:\\.|[^"\\])*(?P<close>"?)|,', re.DOTALL)

_KEY = re.compile(r"""(?P<before>["'“”‘’`]|[{,\n]\s*)(?P<name>[^\W\d][\w -]{0,60})(?=\\?["'“”‘’`]?\s*:)""")
_BARE_NUMBER = re.compile(
    r'"(?:\\.|[^"\\])*"|(?P<colon>:\s*)(?P<number>[-+]?\.?\d(?:(?!//|/\*)[^,;}\]\n"\'“”#\\])*)', re.DOTALL
)
_MARKED = re.compile("[\ue000-\uf8ff]")  # private-use characters make keys differ, and are taken out again

_NAMES = {"true": True, "false": False, "null": None}
_BAD_ESCAPE = re.compile(r"""(?<!\\)(?:\\\\)*\\[^\n\\'"abfnrtvxuUN0-7]""")

# Quotes that json-repair does not know as such.
_QUOTES = (re.compile("[„«]([^„“”«»]*)[“”»]"), r'"\1"'), (re.compile("[‘’`]"), "'")

_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=lambda members: Object(tuple(members)))


def objects(reply: str) -> list[Found]:
    """Find the outermost objects in a reply, in order; see `read_reply`."""
    return read_reply(reply).found


def read_reply(reply: str) -> Reading:
    """Find the outermost objects in a reply, and the prose around them; never raises.

    Text between marks of thoughts is left out, and so is text before a closing mark or after an opening one that has no
    counterpart. Marks within an object are text.
    """
    text = _unwrapped(reply)
    found: list[Found] = []
    prose: list[str] = []
    position, prose_from, rest, room = 0, 0, 0, LONGEST_REPAIR
    for _ in range(MOST_BRACES):
        mark = _MARK.search(text, position)
        if mark is None:
            break
        start, position, item = mark.start(), mark.end(), None
        if mark["open"]:
            closing = (later.end() for later in _MARK.finditer(text, position) if later["close"])
            position = next(closing, len(text))
        elif mark["close"]:
            found.clear()
            prose.clear()
        elif (item := _valid(text, start)) is None and (item := _nearly(text, start, room)):
            room -= len(item.source)
        if item:
            if _CUT in item.source:  # its beginning and its end may be two objects', or the judged text's
                item = item._replace(value=None)
            found.append(item)
            rest = position = start + len(item.source)
        if item or mark["open"]:
            prose.append(text[prose_from:start])
        if item or mark["open"] or mark["close"]:
            prose_from = position
    return Reading(found, [*prose, text[prose_from:]], text[rest:])


def _unwrapped(reply: str) -> str:
    """Return the text to read: of a reply that as a whole is a JSON string, the string's content."""
    if len(reply) > LONGEST_REPLY:
        reply = f"{reply[: LONGEST_REPLY // 2]}\n{_CUT}\n{reply[-LONGEST_REPLY // 2 :]}"
    text = reply.replace("\ufeff", "")
    for _ in range(2):
        try:
            value = json.loads(text, strict=False) if text.lstrip().startswith('"') else None
        except ValueError:
            break
        if not isinstance(value, str):
            break
        text = value
    return "{" + text if _HEADLESS.match(text) else text


def _valid(text: str, start: int) -> Found | None:
    try:
        value, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return Found(value, text[start:end], True, strict=True)


def _nearly(text: str, start: int, room: int) -> Found | None:
    """Read an object with slips in its form, or one that is cut off; None for a brace in prose."""
    source = _extent(text, start)
    if not source:
        return _completed(text[start:]) if _CUT_OFF.match(text, start) else None
    if len(source) > room:
        return Found(None, source, True)
    return _python(source) or _repaired(source)


def _extent(text: str, start: int) -> str:
    """Return the text of an object with slips in its form; empty if it is cut off, and for a brace in prose."""
    if not _BEGINNING.match(text, start):
        return ""
    for heeded in ("\"'", '"', ""):  # an apostrophe is not a quote, and there may be slips in the quotes themselves
        depth, quote = 0, ""
        for mark in _BRACES.finditer(text, start):
            if quote or mark[0] in heeded:
                quote = "" if quote == mark[0] else quote or mark[0]
            elif mark[0] in "{}":
                depth += 1 if mark[0] == "{" else -1
            if depth == 0:
                return text[start : mark.end()]
            if depth > DEEPEST:
                break
    return ""


def _completed(source: str) -> Found:
    """Read an object that is cut off, if it is JSON or Python up to there."""
    kept = _trimmed(source)
    completed = (_valid(kept + braces, 0) or _python(kept + braces) for braces in ("}", "}}", "}}}"))
    return Found(next((found.value for found in completed if found), None), source, False)


def _python(source: str) -> Found | None:
    """Read an object in Python's form, or in JSON's with a comma too many or a bare key."""
    if _BAD_ESCAPE.search(source):  # Python would print a warning
        return None
    try:
        return Found(_literal(ast.parse(source, mode="eval").body), source, True)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _literal(node: ast.expr | None) -> Any:
    match node:
        case ast.Dict(keys, values):
            members = zip(map(_literal, keys), map(_literal, values), strict=True)
            return Object(tuple((str(key), value) for key, value in members))
        case ast.List(items) | ast.Tuple(items):
            return [_literal(item) for item in items]
        case ast.Name(name):
            return _NAMES.get(name, name)
        case None:
            raise ValueError("a ** is no member")
        case _:
            return ast.literal_eval(node)


def _repaired(source: str) -> Found:
    """Read an object that is nearly JSON, unless it takes a guess which of several equal names are keys."""
    text = _MARKED.sub("", source)
    for pattern, quotes in _QUOTES:
        text = pattern.sub(quotes, text)
    names: dict[str, str] = {}

    def marked(key: re.Match[str]) -> str:
        mark = chr(0xE000 + len(names))
        names[mark] = key["name"].strip()
        return key[0] + mark

    text = _KEY.sub(marked, _BARE_NUMBER.sub(_quoted, text))
    try:
        value: Any = repair_json(text, return_objects=True, skip_json_loads=True)
    except Exception:  # its heuristics may raise anything on text that is far from JSON
        return Found(None, source, True)
    kept = [names[key[-1]] for key in _keys(value) if key[-1:] in names]
    sure = all(kept.count(name) == count for name, count in Counter(names.values()).items() if name in kept)
    return Found(_restored(value) if sure else None, source, True)


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(inner)


def _trimmed(source: str) -> str:
    """Drop the last member of an object that is cut off, unless its value is closed."""
    source = source.rstrip().rstrip("`~").rstrip()
    comma, closed = 0, source.endswith(('"', "'", "”", "]", "}"))
    for part in _COMMAS.finditer(source):
        if part[0] == ",":
            comma = part.start()
        elif not part["close"]:
            closed = False
    return source if closed else source[:comma]


def _quoted(number: re.Match[str]) -> str:
    """Quote a bare value that starts with a number and goes on: `90%`, `9/10`."""
    try:
        float(number["number"] or 0)
    except ValueError:
        return f'{number["colon"]}"{number["number"].strip()}"'
    return number[0]


def _restored(value: Any) -> Any:
    if isinstance(value, str):
        return _MARKED.sub("", value)
    if isinstance(value, dict):
        return Object(tuple((_restored(key), _restored(member)) for key, member in value.items()))
    return [_restored(item) for item in value] if isinstance(value, list) else value
