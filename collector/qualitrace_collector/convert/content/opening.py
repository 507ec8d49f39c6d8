"""Opens recorded text as the value it represents: JSON, LangChain's serialised objects, Python's `repr`.

Every reader in this package opens a value before it looks at it. Other text stays as it is.

Instrumentations write a value as Python shows it (`repr`, or a pydantic model's `str`) if JSON cannot hold it:
`[Document(page_content='…')]`, `ChatCompletion(id=…, choices=[…])`, `content='…' additional_kwargs={}`,
`{'answer': '…'}`. Such text is parsed, and nothing in it is run.
"""

import ast
import json
import re
import textwrap
import warnings
from typing import Any

from pydantic_core import from_json

# Levels of nested values that the readers of this package look into.
MAX_DEPTH = 12

# Key under which an opened object keeps the name of its class.
CLASS = "__class__"

_MAX_BLANK_DEPTH = 100
_DECODER = json.JSONDecoder()

# Longer text is not parsed as Python: the parser needs many times its memory.
MAX_CHARACTERS = 200_000

# Braces, brackets and commas of text that is opened: three bytes of `{},` take 72 in memory, several times over.
MAX_MARKS = 250_000

# A string, or the rest of the line after an open quote: a longer search from each quote would take quadratic time.
_STRING = r"""[bruf]{0,2}(?:'(?:[^'\\\n]|\\.)*'?|"(?:[^"\\\n]|\\.)*"?)"""

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

# How OpenAI Agents show a run (agents.util._pretty_print).
_RUN_RESULT = re.compile(r"RunResult\w*:\n(?:- .*\n)*- Final output \(\w+\):\n((?:    .*(?:\n|\Z))+)")
_FIELD_START = re.compile(
    rf"(?P<string>{_STRING})|(?P<open>[\[({{])|(?P<close>[\])}}])|(?<!\s)\s+(?=[a-z_]\w*=)", re.DOTALL
)


def encodable(text: str) -> str:
    """Replace lone surrogates (JSON escapes can hold them), which neither databases nor HTTP can carry."""
    if text.isascii():
        return text
    try:
        text.encode()  # a search would take ten times as long
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text


def load_json(text: str, default: Any) -> Any:
    """Return the JSON value of a text, the default if it is not JSON, too deep for the stack, or too many values."""
    if _holds_too_much(text):
        return default
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return default


def _holds_too_much(text: str) -> bool:
    """Whether a text may hold so many values in JSON that it would become many times as large in memory."""
    return len(text) > MAX_MARKS and sum(map(text.count, "{[,")) > MAX_MARKS


def parsed(value: Any) -> Any:
    """Open a string that holds a JSON object or array; return anything else as it is."""
    return load_json(value, value) if isinstance(value, str) and value.lstrip()[:1] in ("{", "[") else value


def opened(value: Any) -> Any:
    """Open JSON text, streams as text, Python's repr and LangChain's constructors; return the rest as it is."""
    value = parsed(value)
    if isinstance(value, str):
        shown = None if _holds_too_much(value) else _lines(value) or _cut(value) or read_repr(value)
        return value if shown is None else shown
    if isinstance(value, dict) and value.get("lc") == 1 and isinstance(value.get("id"), list):
        return _constructor(value)
    return value


def _cut(text: str) -> Any:
    """Return the rest of JSON that an SDK cut off (OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT), None for other text."""
    if not text.startswith(('{"', '[{"')) or text.rstrip()[-1:] in ("}", "]") or _begins_with_json(text):
        return None
    try:
        found = from_json(encodable(text), allow_partial="trailing-strings")
    except ValueError:
        return None
    return found if isinstance(found, (dict, list)) and found else None


def _begins_with_json(text: str) -> bool:
    """Whether text is JSON with words after it."""
    try:
        _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _constructor(value: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an object that `langchain_core.load.dumpd` wrote, with the name of its class."""
    fields = value.get("kwargs")
    name = str(value["id"][-1]) if value["id"] else ""
    return {CLASS: name, **(fields if isinstance(fields, dict) else {})}


def _lines(text: str) -> list[Any] | None:
    """Return the objects of a stream that was recorded as text, None for other text.

    They are the data of server-sent events, or stand one a line (Ollama's).
    """
    if text.startswith("data:"):
        lines = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
    elif text.startswith("{") and "}\n{" in text:
        lines = text.splitlines()
    else:
        return None
    found = [parsed(line) for line in lines if line.strip() not in ("", "[DONE]")]
    return found if found and all(isinstance(item, dict) for item in found) else None


def at(value: Any, *path: str | int) -> Any:
    """Return the value at a path of keys and positions in nested values, None if there is none."""
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and len(value) > step else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def as_sent(value: Any) -> str:
    """Return a value as a client would have sent it: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return encodable(value)
    try:
        return encodable(json.dumps(_without_class(value), ensure_ascii=False, default=str))
    except (ValueError, RecursionError):  # nested deeper than the stack
        return ""


def _without_class(value: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        return value
    if isinstance(value, dict):
        return {key: _without_class(item, depth + 1) for key, item in value.items() if key != CLASS}
    return [_without_class(item, depth + 1) for item in value] if isinstance(value, list) else value


def is_blank(value: Any, depth: int = 0) -> bool:
    """Whether a value holds no text and no number, however it is nested (LangChain streams start with empty ones)."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, (dict, list)):
        items = value.values() if isinstance(value, dict) else value
        return depth <= _MAX_BLANK_DEPTH and all(is_blank(item, depth + 1) for item in items)
    return value is None


def read_repr(text: str) -> Any:
    """Return the list, mapping or object that Python shows as this text, None for other text.

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
    """Whether text begins as an object that Python shows, but cannot be parsed: cut off, or shown without content."""
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
    """Replace an enum by its value (`<Role.USER: 'user'>`), and other objects by None (`<object at …>`).

    Haystack's documents show their fields as `content: '…'`, and their ids without quotation marks.
    """
    if match["string"] is not None:
        return match[0]
    if match["field"] or match["id"]:
        return f"{match['field']}=" if match["field"] else f"='{match['id']}'"
    enum = _ENUM.match(match["object"])
    return enum["value"] if enum else "None"


def _value(node: ast.expr) -> Any:
    """Return the value of a literal or an object; raise ValueError for code."""
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
