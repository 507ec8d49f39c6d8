"""Cohere's chat, version 2."""

import json
from typing import Any

from libraries.providers.answer import Answer, events
from libraries.providers.script import flat, parts, reply


def chat(asked: dict[str, Any]) -> Answer:
    """Answer `POST /v2/chat`."""
    messages = asked["messages"]
    users = [flat(message["content"]) for message in messages if message["role"] == "user"]
    offered = [tool["function"]["name"] for tool in asked.get("tools") or []]
    has_result = any(message["role"] == "tool" for message in messages)
    chosen = reply(flat(messages), users[-1] if users else "", offered, has_result)
    tokens = {"input_tokens": chosen.tokens[0], "output_tokens": chosen.tokens[1]}
    usage = {"billed_units": tokens, "tokens": tokens}
    reason = "TOOL_CALL" if chosen.tool else "COMPLETE"
    function = {"name": chosen.tool, "arguments": json.dumps(chosen.arguments)}
    call = {"id": "call_1", "type": "function", "function": function}
    if not asked.get("stream"):
        message: dict[str, Any] = {"role": "assistant"}
        if chosen.tool:
            message["tool_calls"] = [call]
        else:
            message["content"] = [{"type": "text", "text": chosen.text}]
        return Answer.json({"id": "1", "finish_reason": reason, "message": message, "usage": usage})
    if chosen.tool:
        empty = {**call, "function": {**function, "arguments": ""}}
        body = [
            {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": empty}}},
            {
                "type": "tool-call-delta",
                "index": 0,
                "delta": {"message": {"tool_calls": {"function": {"arguments": function["arguments"]}}}},
            },
            {"type": "tool-call-end", "index": 0},
        ]
    else:
        content = {"message": {"content": {"type": "text", "text": ""}}}
        body = [
            {"type": "content-start", "index": 0, "delta": content},
            *(
                {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": part}}}}
                for part in parts(chosen.text)
            ),
            {"type": "content-end", "index": 0},
        ]
    return Answer(
        "text/event-stream",
        events(
            {"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant"}}},
            *body,
            {"type": "message-end", "id": "1", "delta": {"finish_reason": reason, "usage": usage}},
        )
        + b"data: [DONE]\n\n",
    )
