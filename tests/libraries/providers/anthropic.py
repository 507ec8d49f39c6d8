"""Anthropic's messages."""

import json
from typing import Any

from libraries.providers.answer import Answer, events
from libraries.providers.script import flat, parts, reply


def messages(asked: dict[str, Any]) -> Answer:
    """Answer `POST /v1/messages`."""
    turns = asked["messages"]
    users = [flat(turn["content"]) for turn in turns if turn["role"] == "user" and not _is_result(turn)]
    offered = [tool["name"] for tool in asked.get("tools") or []]
    chosen = reply(flat([asked.get("system"), turns]), users[-1] if users else "", offered, any(map(_is_result, turns)))
    usage = {"input_tokens": chosen.tokens[0], "output_tokens": chosen.tokens[1]}
    base = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"]}
    ended = {"stop_reason": "tool_use" if chosen.tool else "end_turn", "stop_sequence": None}
    if chosen.tool:
        block: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": chosen.tool, "input": chosen.arguments}
        empty = {**block, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": json.dumps(chosen.arguments)}]
    else:
        block, empty = {"type": "text", "text": chosen.text}, {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": part} for part in parts(chosen.text)]
    if not asked.get("stream"):
        return Answer.json({**base, **ended, "content": [block], "usage": usage})
    begun = {**base, "content": [], "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1}}
    return Answer(
        "text/event-stream",
        events(
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": empty},
            *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": ended, "usage": {"output_tokens": chosen.tokens[1]}},
            {"type": "message_stop"},
        ),
    )


def _is_result(turn: dict[str, Any]) -> bool:
    content = turn["content"]
    return isinstance(content, list) and any(block.get("type") == "tool_result" for block in content)
