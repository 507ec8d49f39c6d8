"""Values as Python shows them (`repr`, or a pydantic model's `str`), read back without running anything.

Instrumentations fall back to these forms for objects that JSON cannot hold: `[Document(page_content='…')]`,
`ChatCompletion(id=…, choices=[…])`, `content='…' additional_kwargs={}`, `{'answer': '…'}`.
"""

import ast
import re
import textwrap
import warnings
from typing import Any

MAX_CHARACTERS = 200_000
"""Longer text is not read: the parser's memory is many times the text."""

_STRING = r"""[bruf]{0,2}(?:'(?:[^'\\\n]|\\.)*'?|"(?:[^"\\\n]|\\.)*"?)"""
"""A string, or the rest of the line behind a quote that nothing closes: to look further from each would take long."""

_STRINGS_AND_OBJECTS = re.compile(
    rf"(?P<string>{_STRING})|<(?P<object>[^<>]*)>|(?<=[(, ])(?P<field>[a-z_]\w*): "
    r"|=(?P<id>[0-9a-f](?=[0-9-]*[a-f])[0-9a-f-]{7,})(?=[,)])",
    re.DOTALL,
)
_ENUM = re.compile(r"[\w.]+: (?P<value>'[^']*'|\"[^\"]*\"|-?\d+)\Z")
_CALL = re.compile(r"[\[({]{0,3}\s*(?:[a-z_]\w*\.)*[A-Z]\w*\(")
_LITERAL = re.compile(r"[\[({]+\s*(?:['\"]|[bru]['\"]|None|True|False|-?\d)")
_FIELDS = re.compile(r"[a-z_]\w*=(?:['\"\[{(]|None|True|False|-?\d|[A-Z]\w*\()")
_CONTENT_FIELDS = frozenset(
    "content page_content text messages answer output result response parts node payload".split()
)
_RUN_RESULT = re.compile(r"RunResult\w*:\n(?:- .*\n)*- Final output \(\w+\):\n((?:    .*(?:\n|\Z))+)")
"""OpenAI Agents' way to show a run (agents.util._pretty_print)."""
_FIELD_START = re.compile(
    rf"(?P<string>{_STRING})|(?P<open>[\[({{])|(?P<close>[\])}}])|(?<!\s)\s+(?=[a-z_]\w*=)", re.DOTALL
)


def read_repr(text: str) -> Any:
    """Return the list, mapping or object that Python's text stands for, None if it is no such text.

    An object becomes a mapping of its fields, with the name of its class under `__class__`.
    """
    if len(text) > MAX_CHARACTERS:
        return None
    text = text.strip()
    if _CALL.match(text) or _LITERAL.match(text):
        return _evaluated(text)
    if _FIELDS.match(text):
        found = _evaluated(f"Fields({_with_commas(text)})")
        return found if isinstance(found, dict) and not _CONTENT_FIELDS.isdisjoint(found) else None
    if run := _RUN_RESULT.match(text):
        return {"__class__": "RunResult", "final_output": textwrap.dedent(run[1]).strip()}
    return None


def is_cut_repr(text: str) -> bool:
    """Whether text begins as an object that Python shows, but cannot be read: cut off, or never readable."""
    return text.startswith(("<generator object", "<async_generator object", "<coroutine object")) or (
        bool(re.match(r"[A-Z]\w*\((?:[a-z_]\w*=|\))", text)) and read_repr(text) is None
    )


def _evaluated(text: str) -> Any:
    source = _STRINGS_AND_OBJECTS.sub(_plain, text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of escapes that Python does not know
            tree = ast.parse(source, mode="eval")
        value = _value(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # MemoryError: nested deeper than the parser's stack
        return None
    return value if isinstance(value, (dict, list)) else None


def _plain(match: re.Match[str]) -> str:
    """Put the value in an enum's place (`<Role.USER: 'user'>`), and None in that of other objects (`<object at …>`).

    Haystack's documents show their fields as `content: '…'`, and their ids without quotation marks.
    """
    if match["string"] is not None:
        return match[0]
    if match["field"] or match["id"]:
        return f"{match['field']}=" if match["field"] else f"='{match['id']}'"
    enum = _ENUM.match(match["object"])
    return enum["value"] if enum else "None"


def _value(node: ast.expr) -> Any:
    """Return the value of a literal or an object; raise ValueError for anything that would have to be run."""
    match node:
        case ast.Constant(value):
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else _json_value(value)
        case ast.List(elts) | ast.Tuple(elts) | ast.Set(elts):
            return [_value(item) for item in elts]
        case ast.Dict(keys, values):
            return {str(_value(key)): _value(item) for key, item in zip(keys, values, strict=True) if key is not None}
        case ast.Call(func, args, keywords):
            return _object(func, args, keywords)
        case ast.UnaryOp(ast.USub() | ast.UAdd(), operand):
            number = _value(operand)
            return -number if isinstance(number, (int, float)) and isinstance(node.op, ast.USub) else number
        case ast.Name(name) | ast.Attribute(attr=name):
            return None if name in ("nan", "inf") else name
        case _:
            raise ValueError("no literal")


def _object(func: ast.expr, args: list[ast.expr], keywords: list[ast.keyword]) -> Any:
    name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
    given = [_value(item) for item in args]
    fields = {item.arg: _value(item.value) for item in keywords if item.arg is not None}
    if not fields and len(given) == 1 and isinstance(given[0], (dict, list)):  # OrderedDict({…}), deque([…])
        return given[0]
    return {"__class__": name, **({"args": given} if given else {}), **fields}


def _json_value(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def _with_commas(text: str) -> str:
    """Put commas between the fields of a pydantic model's `str` (`content='…' additional_kwargs={}`)."""
    depth, parts, position = 0, list[str](), 0
    for match in _FIELD_START.finditer(text):
        if match["string"] is not None:
            continue
        if match["open"] or match["close"]:
            depth += 1 if match["open"] else -1
        elif depth == 0:
            parts.append(text[position : match.start()])
            position = match.end()
    return ", ".join([*parts, text[position:]])
