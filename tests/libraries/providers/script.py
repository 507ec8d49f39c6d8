"""The questions that applications ask, and what every provider answers."""

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

WARRANTY = "How long is the warranty of a tent?"
WARRANTY_ANSWER = "Tents have a warranty of 24 months."
PASSAGES = (
    "Tents have a warranty of 24 months.",
    "Sleeping bags are washed at 30 degrees.",
    "The shop in Oslo opens at 9.",
)
WEATHER = "What is the weather in Oslo?"
WEATHER_ANSWER = "It is 18 degrees and sunny in Oslo."
TOOL = "get_weather"
TOOL_ARGUMENTS = {"city": "Oslo"}
TOOL_RESULT = "18 degrees, sunny"
NAME = "My name is Ada."
NAME_ANSWER = "Nice to meet you, Ada."
WHO = "What is my name?"
WHO_ANSWER = "Your name is Ada."
BROKEN_MODEL = "broken"
"""A request for it is answered with status 500."""

FINAL_TOOLS = ("final_answer", "final_result")
"""Tools by which frameworks let a model answer; they take it as `answer`."""

DSPY_FIELD = re.compile(r"`\[\[ ## (\w+) ## \]\]`")
"""How DSPy names the fields that it wants, in its last message."""

EMBEDDING_SIZE = 8


@dataclass(frozen=True)
class Reply:
    """What a model answers: a text, or the call of a tool.

    Attributes:
        tokens: input and output.
    """

    text: str = ""
    tool: str = ""
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    tokens: tuple[int, int] = (3, 1)


def reply(texts: str, last: str, tools: list[str], has_result: bool) -> Reply:
    """Choose the answer.

    Args:
        texts: everything that the request says, joined.
        last: the last message of the user.
        tools: names of the tools on offer.
        has_result: the result of a tool is among the messages.
    """
    if (fields := DSPY_FIELD.findall(last)) and "completed" in fields:
        offered = [TOOL] if "next_tool_name" in fields else tools
        return _in_fields(fields, _reply(texts, last, offered, has_result))
    chosen = _reply(texts, last, tools, has_result)
    final = next((name for name in tools if name in FINAL_TOOLS), None)
    return (
        chosen if chosen.tool or not final else replace(chosen, text="", tool=final, arguments={"answer": chosen.text})
    )


def _in_fields(fields: list[str], chosen: Reply) -> Reply:
    values = {
        "answer": chosen.text,
        "reasoning": "It is known.",
        "next_thought": "I look.",
        "next_tool_name": chosen.tool or "finish",
        "next_tool_args": json.dumps(chosen.arguments),
        "completed": "",
    }
    text = "\n\n".join(f"[[ ## {name} ## ]]\n{values[name]}" for name in fields)
    return replace(chosen, text=text, tool="", arguments={})


def _reply(texts: str, last: str, tools: list[str], has_result: bool) -> Reply:
    weather = next((name for name in tools if TOOL in name), None)
    if WEATHER in texts and weather and not (has_result or TOOL_RESULT in texts):
        return Reply(tool=weather, arguments=TOOL_ARGUMENTS, tokens=(52, 17))
    if WEATHER in texts:
        return Reply(WEATHER_ANSWER, tokens=(81, 12))
    if WHO in last:
        return Reply(WHO_ANSWER, tokens=(30, 6))
    if NAME in last:
        return Reply(NAME_ANSWER, tokens=(10, 7))
    if WARRANTY in texts:
        return Reply(WARRANTY_ANSWER, tokens=(21, 9))
    return Reply("All right.")


def embedding(text: str) -> list[float]:
    """Return a vector; texts that share words with the warranty's question are near to each other."""
    shared = sum(word.strip("?.").lower() in text.lower() for word in ("warranty", "tent", "month"))
    digest = hashlib.sha256(text.encode()).digest()
    return [1.0 + 4.0 * shared, *(byte / 255 for byte in digest[: EMBEDDING_SIZE - 1])]


def parts(text: str) -> list[str]:
    """Cut a text as a stream does, without losing a character."""
    return [text[start : start + 8] for start in range(0, len(text), 8)]


def flat(content: Any) -> str:
    """Return the texts in a content of any provider's shape, one a line."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return "\n".join(filter(None, map(flat, content.values())))
    return "\n".join(filter(None, map(flat, content))) if isinstance(content, list) else ""
