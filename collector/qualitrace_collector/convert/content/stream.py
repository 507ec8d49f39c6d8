"""Chunks of a stream, as some instrumentations record them, joined to the answer that the app received."""

from collections.abc import Callable, Sequence
from typing import Any

from qualitrace_collector.convert.content.opening import at

Path = tuple[str | int, ...]

_DELTAS: tuple[tuple[str, Path], ...] = (
    # the sign of a chunk (a key, or `key=value`), and where its text is
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

# Events with the whole response, at the end.
_WHOLE = {"response.completed": "response", "response.incomplete": "response"}


def whole_response(chunks: Sequence[Any]) -> Any:
    """Return the response in a stream's last event, None if there is none."""
    for chunk in reversed(chunks):
        if isinstance(chunk, dict) and (key := _WHOLE.get(str(chunk.get("type")))) and chunk.get(key):
            return chunk[key]
    return None


def joined(chunks: Sequence[Any], part_text: Callable[[Any], str]) -> str | None:
    """Join the texts of chunks; None if these are no chunks of a stream.

    Args:
        chunks: a recorded list.
        part_text: reads a delta that is more than text (Gemini's parts).
    """
    if not chunks or not all(isinstance(chunk, dict) for chunk in chunks):
        return None
    texts: list[str] = []
    is_stream = False
    for chunk in map(_without_envelope, chunks):
        signs = [path for sign, path in _DELTAS if _has(chunk, sign)]
        delta = next((found for path in signs if (found := at(chunk, *path)) is not None), None)
        if delta is not None:
            is_stream = True
            texts.append(delta if isinstance(delta, str) else part_text(delta))
        elif not signs and not _is_other_event(chunk):
            return None
        is_stream = is_stream or ("choices" in chunk and at(chunk, "choices", 0, "delta") is not None)
    if len(chunks) == 1 and "candidates" in chunks[0]:
        return None  # a list of one whole response
    return "".join(texts) if is_stream else None


def pieces_of_text(items: Sequence[Any]) -> str | None:
    """Join the tokens that a generator yielded; None if the texts are items of a list."""
    # Tokens contain the blanks between words, items of a list do not.
    if len(items) < 2 or not all(isinstance(item, str) for item in items):
        return None
    inner = [*items[1:], *(item for item in items[:-1] if item[-1:].isspace())]
    return "".join(items) if any(item[:1].isspace() or item[-1:].isspace() for item in inner) else None


def added_up(items: Sequence[Any], keys: Sequence[str]) -> dict[str, Any] | None:
    """Add up mappings of one key each, as LangChain's chains stream their outputs; None for other lists."""
    if len(items) < 2 or not all(isinstance(item, dict) and len(item) == 1 for item in items):
        return None
    total: dict[str, Any] = {}
    for item in items:
        ((key, value),) = item.items()
        before = total.get(key)
        total[key] = before + value if isinstance(before, str) and isinstance(value, str) else value
    return total if len(total) < len(items) and not total.keys().isdisjoint(keys) else None


def _without_envelope(chunk: dict[str, Any]) -> dict[str, Any]:
    """Take a chunk out of its event (Mistral's `data`)."""
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
