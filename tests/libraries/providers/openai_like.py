"""Mistral's and Groq's chat completions: OpenAI's, but the last chunk of each stream has the tokens."""

import json
from collections.abc import Callable
from typing import Any

from libraries.providers import openai
from libraries.providers.answer import Answer, events


def mistral(asked: dict[str, Any]) -> Answer:
    """Answer `POST /mistral/v1/chat/completions`."""
    return _chat(asked, lambda usage: {"usage": usage})


def groq(asked: dict[str, Any]) -> Answer:
    """Answer `POST /openai/v1/chat/completions`."""
    return _chat(asked, lambda usage: {"x_groq": {"id": "req_1", "usage": usage}})


def _chat(asked: dict[str, Any], ending: Callable[[dict[str, int]], dict[str, Any]]) -> Answer:
    answer = openai.chat({**asked, "stream_options": {"include_usage": True}})
    if not asked.get("stream"):
        return answer
    lines = [line.removeprefix("data: ") for line in answer.body.decode().splitlines() if line.startswith("data: {")]
    *chunks, last = map(json.loads, lines)
    chunks[-1] |= ending(last["usage"])
    return Answer(answer.content_type, events(*chunks) + b"data: [DONE]\n\n")
