"""OpenAI's chat completions, responses and embeddings."""

import json
from typing import Any

from libraries.providers.answer import Answer, events
from libraries.providers.script import Reply, embedding, flat, parts, reply


def chat(asked: dict[str, Any]) -> Answer:
    """Answer `POST /chat/completions`."""
    messages = asked["messages"]
    offered = [tool["function"]["name"] for tool in asked.get("tools") or []]
    chosen = _choose(messages, offered)
    base = {"id": "chatcmpl-1", "created": 1, "model": asked["model"]}
    usage = {
        "prompt_tokens": chosen.tokens[0],
        "completion_tokens": chosen.tokens[1],
        "total_tokens": sum(chosen.tokens),
    }
    reason = "tool_calls" if chosen.tool else "stop"
    call = {"name": chosen.tool, "arguments": json.dumps(chosen.arguments)}
    if not asked.get("stream"):
        message: dict[str, Any] = {"role": "assistant", "content": chosen.text or None}
        if chosen.tool:
            message["tool_calls"] = [{"id": "call_1", "type": "function", "function": call}]
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return Answer.json({**base, "object": "chat.completion", "choices": [choice], "usage": usage})
    if chosen.tool:
        deltas = [
            {"role": "assistant", "tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": call}]}
        ]
    else:
        deltas = [{"role": "assistant", "content": ""}, *({"content": part} for part in parts(chosen.text))]
    chunk = {**base, "object": "chat.completion.chunk"}
    chunks = [{**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    if (asked.get("stream_options") or {}).get("include_usage"):
        chunks.append({**chunk, "choices": [], "usage": usage})
    return Answer("text/event-stream", events(*chunks) + b"data: [DONE]\n\n")


def _choose(messages: list[dict[str, Any]], offered: list[str]) -> Reply:
    users = [flat(message.get("content")) for message in messages if message["role"] == "user"]
    has_result = any(message["role"] == "tool" for message in messages)
    return reply(flat(messages), users[-1] if users else "", offered, has_result)


def responses(asked: dict[str, Any]) -> Answer:
    """Answer `POST /responses`."""
    given = asked["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    users = [flat(item.get("content")) for item in items if item.get("role") == "user"]
    has_result = any(item.get("type") == "function_call_output" for item in items)
    offered = [tool.get("name", "") for tool in asked.get("tools") or []]
    chosen = reply(flat(items), users[-1] if users else "", offered, has_result)
    if chosen.tool:
        output = {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": chosen.tool,
            "arguments": json.dumps(chosen.arguments),
            "status": "completed",
        }
    else:
        text = {"type": "output_text", "text": chosen.text, "annotations": []}
        output = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
    whole = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": asked["model"],
        "status": "completed",
        "output": [output],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": chosen.tokens[0],
            "output_tokens": chosen.tokens[1],
            "total_tokens": sum(chosen.tokens),
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }
    if not asked.get("stream"):
        return Answer.json(whole)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    sent: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    begun_item = {**output, "arguments": ""} if chosen.tool else output
    sent.append({"type": "response.output_item.added", "output_index": 0, "item": begun_item})
    if chosen.tool:
        place = {"item_id": "fc_1", "output_index": 0}
        arguments = json.dumps(chosen.arguments)
        sent.append({"type": "response.function_call_arguments.delta", **place, "delta": arguments})
        sent.append({"type": "response.function_call_arguments.done", **place, "arguments": arguments})
    else:
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        sent += [{"type": "response.output_text.delta", **place, "delta": part} for part in parts(chosen.text)]
        sent.append({"type": "response.output_text.done", **place, "text": chosen.text})
    sent.append({"type": "response.output_item.done", "output_index": 0, "item": output})
    sent.append({"type": "response.completed", "response": whole})
    return Answer("text/event-stream", events(*({**event, "sequence_number": n} for n, event in enumerate(sent))))


def embeddings(asked: dict[str, Any]) -> Answer:
    """Answer `POST /embeddings`."""
    given = asked["input"]
    texts = [given] if isinstance(given, str) else [text if isinstance(text, str) else str(text) for text in given]
    data = [{"object": "embedding", "index": n, "embedding": embedding(text)} for n, text in enumerate(texts)]
    return Answer.json(
        {"object": "list", "data": data, "model": asked["model"], "usage": {"prompt_tokens": 5, "total_tokens": 5}}
    )
