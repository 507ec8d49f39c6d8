"""Ollama's chat: a line of JSON for each part of a stream."""

import json
from typing import Any

from libraries.providers.answer import Answer
from libraries.providers.script import flat, parts, reply


def chat(asked: dict[str, Any]) -> Answer:
    """Answer `POST /api/chat`, which streams unless it's told not to."""
    messages = asked["messages"]
    users = [flat(message.get("content")) for message in messages if message["role"] == "user"]
    offered = [tool["function"]["name"] for tool in asked.get("tools") or []]
    has_result = any(message["role"] == "tool" for message in messages)
    chosen = reply(flat(messages), users[-1] if users else "", offered, has_result)
    base = {"model": asked["model"], "created_at": "2026-01-01T00:00:00Z"}
    ended = {
        "done": True,
        "done_reason": "stop",
        "total_duration": 1,
        "prompt_eval_count": chosen.tokens[0],
        "eval_count": chosen.tokens[1],
    }
    message: dict[str, Any] = {"role": "assistant", "content": chosen.text}
    if chosen.tool:
        message["tool_calls"] = [{"function": {"name": chosen.tool, "arguments": chosen.arguments}}]
    if not asked.get("stream", True):
        return Answer.json({**base, "message": message, **ended})
    cut = [message] if chosen.tool else [{**message, "content": part} for part in parts(chosen.text)]
    lines = [{**base, "message": one, "done": False} for one in cut]
    lines.append({**base, "message": {"role": "assistant", "content": ""}, **ended})
    return Answer("application/x-ndjson", b"".join(json.dumps(line).encode() + b"\n" for line in lines))
