"""Reads who speaks and what is said from messages, in the shapes in which libraries record them.

A message is a mapping that names a role, or a type or class that stands for one. It holds text or parts. Only the
speaker's own words count: no thoughts, tool calls or files. A tool's result is a turn of the tool, wherever it stands.
Some instrumentations record the chunks of a stream; these are joined to the message that the app received.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from qualitrace_collector.convert.content import forms
from qualitrace_collector.convert.content.opening import CLASS, MAX_DEPTH, as_sent, at, encodable, opened, parsed
from qualitrace_collector.sample import Message

_THOUGHTS = re.compile(
    r"(?:\A|(?<=\n))[ \t]*<(think|thinking|thought|reasoning)>.*?(?:</\1>\s*|\Z)", re.DOTALL | re.IGNORECASE
)
_THOUGHT_TAG = re.compile(r"</?(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_THOUGHTS_END = re.compile(r"\A(?:(?!<think).)*?\n?</think(?:ing)?>\s*", re.DOTALL | re.IGNORECASE)
_FINAL_CHANNEL = re.compile(
    r"<\|channel\|>\s*final\b[^<]*<\|message\|>(.*?)(?:<\|(?:return|end|call)\|>|\Z)", re.DOTALL
)

# Where thoughts end in the prompts of ReAct agents (LlamaIndex's and LangChain's).
_REACT_ANSWER = re.compile(r"\n[ \t]*(?:Final )?Answer:[ \t]*")
_FILE = re.compile(
    r"!?\[[^\]\n]{0,200}\]\((?:data:[^()\s]*|blob:[^()\s]*)\)"
    r"|data:[\w.+-]+/[\w.+-]+[\w=;.+-]{0,100};base64,[A-Za-z0-9+/_=-]*"
    r"|blob:[\w.+/-]+;size=\d+;sha256=[0-9a-f]{64}"
)
_BARE_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{256,}={0,2}\Z")

# The sign of a stream's chunk (a key, or `key=value`), and the path to its text.
_DELTAS: tuple[tuple[str, tuple[str | int, ...]], ...] = (
    ("object=chat.completion.chunk", ("choices", 0, "delta", "content")),  # OpenAI's chat completions
    ("choices", ("choices", 0, "delta", "content")),
    ("choices", ("choices", 0, "delta", "refusal")),
    ("type=content_block_delta", ("delta", "text")),  # Anthropic's messages
    ("type=response.output_text.delta", ("delta",)),  # OpenAI's responses
    ("type=response.refusal.delta", ("delta",)),
    ("contentBlockDelta", ("contentBlockDelta", "delta", "text")),  # Bedrock's converse_stream
    ("type=text-delta", ("textDelta",)),  # Vercel's AI SDK 4
    ("type=text-delta", ("delta",)),  # 5
    ("type=text-delta", ("text",)),
    ("type=content-delta", ("delta", "message", "content", "text")),  # Cohere 2
    ("event_type=text-generation", ("text",)),  # Cohere 1
    ("done", ("message", "content")),  # Ollama's chat
    ("done", ("response",)),  # Ollama's generate
    ("type=AIMessageChunk", ("content",)),  # LangChain
    ("__class__=AIMessageChunk", ("content",)),
    ("candidates", ("candidates", 0, "content", "parts")),  # Gemini
)

# Starts of the types of events without text of the answer.
_OTHER_EVENTS = (
    "message_ content_block_ ping response. text-start text-end start finish step- reasoning- tool- message-start "
    "message-end content-start content-end citation stream-"
).split()
_OTHER_KEYS = frozenset({"messageStart", "messageStop", "contentBlockStart", "contentBlockStop", "metadata"})

# The fields of a tool's result in MCP.
_MCP_RESULT = frozenset({"content", "isError", "is_error", "structuredContent", "_meta"})

# Events with the whole response, at the end.
_WHOLE = {"response.completed": "response", "response.incomplete": "response"}


def messages_in(value: Any, depth: int = 0) -> list[Message]:
    """Find the conversation recorded in `value`, oldest turn first."""
    # Text inside a recorded value is somebody's words unless it is JSON.
    value = parsed(value) if depth and isinstance(value, str) else opened(value)
    if depth > MAX_DEPTH:
        return []
    if isinstance(value, list):
        return _listed(value, depth)
    if isinstance(value, dict):
        if role := role_of(value):
            return list(_message(role, value))
        for key in forms.CONVERSATION_KEYS:
            if key in value and (
                found := messages_in(_users(value[key]) if key == "contents" else value[key], depth + 1)
            ):
                return found
    return []


def _users(contents: Any) -> Any:
    """Name the user in Gemini's contents that name no role."""
    items = contents if isinstance(contents, list) else [contents]
    if not all(isinstance(item, dict) and isinstance(item.get("parts"), list) for item in items):
        return contents
    return [{"role": "user", **item} for item in items]


def _listed(items: list[Any], depth: int) -> list[Message]:
    if len(items) == 2 and isinstance(items[0], str) and isinstance(items[1], str):
        role = forms.ROLES.get(items[0].lower()) or forms.TYPED_ROLES.get(items[0].lower())
        if role:  # LangChain's tuples
            return [Message(role=role, content=encodable(items[1]))]
    if (response := whole_response(items)) is not None:
        return messages_in(response, depth + 1)
    if (text := joined(items)) is not None:
        return [Message(role="assistant", content=spoken(text))]
    return [message for item in items for message in messages_in(_shown_message(item), depth + 1)]


def _shown_message(item: Any) -> Any:
    """Open a text if it is a message as Python shows it, with its speaker (AutoGen's); other text is somebody's."""
    shown = opened(item) if isinstance(item, str) else item
    return shown if isinstance(shown, dict) and role_of(shown) else item


def role_of(value: dict[str, Any]) -> str:
    """Return `user`, `assistant`, `system` or `tool`; empty if the mapping is not a message."""
    for key in forms.ROLE_KEYS:
        name = value.get(key)
        if isinstance(name, dict):  # Semantic Kernel's {"Label": "user"}
            name = name.get("Label") or name.get("label")
        if isinstance(name, str) and (role := forms.ROLES.get(name.lower())):
            return role
    for key in ("type", "part_kind", CLASS):
        name = value.get(key)
        if isinstance(name, str) and (role := forms.TYPED_ROLES.get(name.lower())):
            return role
    kind, source, path = value.get("kind"), value.get("source"), value.get("id")
    if isinstance(kind, str) and isinstance(value.get("parts"), list) and kind in forms.KIND_ROLES:  # Pydantic AI
        return forms.KIND_ROLES[kind]
    if isinstance(source, str) and str(value.get("type", value.get(CLASS))).lower() in forms.SOURCED_TYPES:  # AutoGen
        return "user" if source in ("user", "user_proxy") else "assistant"
    name = path[-1] if isinstance(path, list) and path else None  # LangChain's class, serialised without the `lc` mark
    return forms.TYPED_ROLES.get(name.lower(), "") if isinstance(name, str) else ""


def _message(role: str, value: dict[str, Any]) -> Iterator[Message]:
    """Yield the results of tools in this message as turns of theirs, then the speaker's own turn."""
    for wrapper in ("kwargs", "data", "message"):  # LangChain's two ways to serialise; Claude's Agent SDK
        if isinstance(value.get(wrapper), dict) and "content" not in value and "parts" not in value:
            value = value[wrapper]
    parts = _parts(value)
    results = [part for part in parts if is_tool_result(part)]
    tools = (results or [value]) if role == "tool" else results
    yield from (Message(role="tool", content=_result_text(part)) for part in tools)
    others: list[Any] = []
    for part in parts if role != "tool" else ():
        kind = part.get("part_kind") if isinstance(part, dict) else None
        other = forms.TYPED_ROLES.get(kind, role) if isinstance(kind, str) else role
        if other != role and not is_tool_result(part):  # pydantic-ai keeps several roles in one request
            yield from _message(other, part)
        elif not is_tool_result(part):
            others.append(part)
    if others or not tools:
        text = parts_text(others) if parts else _said(value)
        words = spoken(text or _refusal_or_speech(value)) if role == "assistant" else without_files(text)
        yield Message(role=role, content=words)


def _parts(value: dict[str, Any]) -> list[Any]:
    """Return a message's parts, empty if it holds plain text."""
    for key in forms.CONTENT_KEYS:
        content = value.get(key)
        if isinstance(content, str):
            content = opened_parts(content)
        if isinstance(content, list) and content:
            return content
        if isinstance(content, dict) and (is_tool_result(content) or _kind(content)):
            return [content]
        if isinstance(content, dict) and isinstance(content.get("parts"), list):  # Gemini's `content`
            return content["parts"]
    return []


def opened_parts(text: Any) -> Any:
    """Open text that holds a message's parts as JSON (OpenLLMetry, Strands); other JSON, as a model's, stays text."""
    found = parsed(text)
    if isinstance(found, list) and found and all(isinstance(item, dict) and is_part(item) for item in found):
        return found
    return text


def is_part(item: dict[str, Any]) -> bool:
    """Whether a mapping is a part of a message: by its type, or as Gemini and Bedrock write them."""
    kind = _kind(item)
    if kind:
        return kind in forms.TEXT_PARTS or _is_silent_kind(kind)
    return not forms.SILENT_KEYS.isdisjoint(item) or (item.keys() == {"text"} and isinstance(item["text"], str))


def is_tool_result(part: Any) -> bool:
    """Whether a part holds a tool's result."""
    if not isinstance(part, dict):
        return False
    kind = _kind(part)
    if (kind == "document" or "document" in part) and _document_text(part):
        return True
    if kind in forms.TOOL_RESULTS or any(isinstance(part.get(key), dict) for key in forms.TOOL_RESULT_KEYS):
        return True
    return kind.startswith("tool-") and part.get("state") == "output-available"  # the AI SDK's UI messages


def _document_text(part: dict[str, Any]) -> str:
    """Return the text of a document that the model was given beside the words: Anthropic's or Bedrock's."""
    source = at(part, "document", "source") or part.get("source")
    if not isinstance(source, dict) or source.get("type", "text") not in ("text", "content"):
        return ""
    return part_text(source.get("data", source.get("text"))) or parts_text(source.get("content"))


def _result_text(part: dict[str, Any]) -> str:
    """Return a tool's result: texts as they are, anything else as JSON."""
    if text := _document_text(part):
        return text
    for key in forms.TOOL_RESULT_KEYS:
        if isinstance(part.get(key), dict):
            return _result_text(part[key])
    result = next((part[key] for key in forms.RESULT_KEYS if part.get(key) not in (None, "", [])), "")
    if isinstance(result, dict) and _kind(result) in ("text", "json", "content", "error-text", "error-json"):
        result = result.get("value", result)  # Vercel's typed outputs
    return result_text(result)


def result_text(result: Any) -> str:
    """Return what a tool returned: the words in parts of a message as they are, anything else as JSON."""
    parts = result
    if isinstance(result, dict) and result.keys() == {"result"} and isinstance(result["result"], str):
        return result["result"]  # Google's ADK wraps texts so
    if isinstance(result, dict):
        parts = result.get("content") if result.keys() <= _MCP_RESULT else result.get("blocks")  # LlamaIndex
    if isinstance(parts, list) and parts and all(isinstance(item, dict) and is_part(item) for item in parts):
        return parts_text(parts) or as_sent(result)
    return as_sent(result)


def returned_messages(output: Any) -> list[str]:
    """Return the results in the output of a tool that returns messages (LangChain's); empty for any other output."""
    turns = messages_in(output)
    return [turn.content for turn in turns] if all(turn.role == "tool" for turn in turns) else []


def _said(value: dict[str, Any]) -> str:
    for key in forms.CONTENT_KEYS:
        content = value.get(key)
        if isinstance(content, str) and content:
            return encodable(content)
        if isinstance(content, (dict, int, float)) and (text := part_text(content)):
            return text
    return ""


def _refusal_or_speech(value: dict[str, Any]) -> str:
    """Return the words of a message without content: a refusal (LangChain keeps it further down) or speech."""
    extra, audio = value.get("additional_kwargs"), value.get("audio")
    found = value.get("refusal") or (extra.get("refusal") if isinstance(extra, dict) else None)
    return encodable(found) if isinstance(found, str) else part_text(audio) if isinstance(audio, dict) else ""


def parts_text(parts: Any) -> str:
    """Return the speaker's words in a list of parts, each on a line of its own unless it continues the one before."""
    if not isinstance(parts, list):
        return part_text(parts)
    text, cited = "", False
    for part in parts:
        found = part_text(part)
        if not found:
            continue
        cites = isinstance(part, dict) and isinstance(part.get("citations"), list)
        # Anthropic cuts a sentence where a citation begins: https://docs.anthropic.com/en/docs/build-with-claude/citations
        goes_on = not text or cites or cited or text[-1].isspace() or found[0].isspace()
        text += found if goes_on else f"\n{found}"
        cited = cites
    return text


def part_text(part: Any, depth: int = 0) -> str:
    """Return the speaker's words in a part of a message; empty for thoughts, calls of tools and files."""
    if isinstance(part, str):
        return "" if _BARE_BASE64.match(part) else encodable(part)
    if isinstance(part, (int, float)) and not isinstance(part, bool):
        return str(part)
    if depth > MAX_DEPTH:
        return ""
    if isinstance(part, list):
        return parts_text(part) if depth == 0 else "\n".join(filter(None, (part_text(p, depth + 1) for p in part)))
    return _words_in(part, depth) if isinstance(part, dict) else ""


def _words_in(part: dict[str, Any], depth: int) -> str:
    if isinstance(transcript := part.get("transcript"), str):  # speech in or out: OpenAI's audio
        return encodable(transcript)
    if is_silent(part):
        return ""
    texts = (part_text(part[key], depth + 1) for key in forms.PART_TEXT_KEYS if key in part)
    return next(filter(None, texts), "")


def is_silent(part: dict[str, Any]) -> bool:
    """Whether a part holds no words of the speaker."""
    kind = _kind(part)
    if kind or part.get("thought") is True:  # Gemini's thoughts have no type
        return part.get("thought") is True or (kind not in forms.TEXT_PARTS and _is_silent_kind(kind))
    has_text = isinstance(part.get("text"), str) and bool(part["text"])
    return not has_text and not forms.SILENT_KEYS.isdisjoint(part)


def _is_silent_kind(kind: str) -> bool:
    return kind not in ("refusal", "message") and any(word in kind for word in forms.SILENT_PARTS)


def _kind(part: dict[str, Any]) -> str:
    return next((kind.lower() for key in forms.TYPE_KEYS if isinstance(kind := part.get(key), str)), "")


def spoken(text: str) -> str:
    """Return what a model says to the user, without its thoughts and files.

    DeepSeek, Qwen and others write thoughts between tags, of which their chat template may hold the first; gpt-oss
    names the channel of each message (https://cookbook.openai.com/articles/openai-harmony).
    """
    if "<|channel|>" in text and (final := _FINAL_CHANNEL.findall(text)):
        text = final[-1]
    if text.startswith("Thought:") and (answer := _REACT_ANSWER.search(text)):
        text = text[answer.end() :]
    if _THOUGHT_TAG.search(text):
        text = _THOUGHTS_END.sub("", _THOUGHTS.sub("", text))
    return without_files(text)


def without_files(text: str) -> str:
    """Leave out pictures and files that stand in a text as data."""
    text = encodable(text)
    if "base64," not in text and "blob:" not in text and "(data:" not in text:
        return text
    return _FILE.sub("", text).strip()


def whole_response(chunks: Sequence[Any]) -> Any:
    """Return the response in a stream's last event, None if there is none."""
    for chunk in reversed(chunks):
        if isinstance(chunk, dict) and (key := _WHOLE.get(str(chunk.get("type")))) and chunk.get(key):
            return chunk[key]
    return None


def joined(chunks: Sequence[Any]) -> str | None:
    """Join the texts of chunks; None if these are not chunks of a stream."""
    if not chunks or not all(isinstance(chunk, dict) for chunk in chunks):
        return None
    texts: list[str] = []
    is_stream = False
    for chunk in map(_without_envelope, chunks):
        signs = [path for sign, path in _DELTAS if _has(chunk, sign)]
        delta = next((found for path in signs if (found := at(chunk, *path)) is not None), None)
        if delta is not None:
            is_stream = True
            texts.append(delta if isinstance(delta, str) else parts_text(delta))  # Gemini's are parts
        elif not signs and not _is_other_event(chunk):
            return None
        is_stream = is_stream or ("choices" in chunk and at(chunk, "choices", 0, "delta") is not None)
    if len(chunks) == 1 and "candidates" in chunks[0]:
        return None  # a list of one whole response
    return "".join(texts) if is_stream else None


def _without_envelope(chunk: dict[str, Any]) -> dict[str, Any]:
    """Take a chunk out of its event (Mistral's `data`), or out of the form in which LangChain serialises it."""
    path, inner = chunk.get("id"), chunk.get("kwargs")
    if isinstance(path, list) and path[-1:] == ["AIMessageChunk"] and isinstance(inner, dict):
        return {**inner, "type": "AIMessageChunk"}
    inner = chunk.get("data")
    return inner if chunk.keys() <= {"data", "event", "id", "retry"} and isinstance(inner, dict) else chunk


def _has(chunk: dict[str, Any], sign: str) -> bool:
    key, _, wanted = sign.partition("=")
    return chunk.get(key) == wanted if wanted else key in chunk


def _is_other_event(chunk: dict[str, Any]) -> bool:
    kind = chunk.get("type", chunk.get("event_type"))
    if isinstance(kind, str):
        return kind.startswith(tuple(_OTHER_EVENTS)) or kind in ("error", "usage")
    return len(chunk) == 1 and not _OTHER_KEYS.isdisjoint(chunk)
