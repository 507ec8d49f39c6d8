"""Amazon Bedrock's Converse and InvokeModel, and the event stream encoding of their streams."""

import base64
import json
import struct
from binascii import crc32
from typing import Any

from libraries.providers import anthropic
from libraries.providers.answer import Answer
from libraries.providers.script import flat, parts, reply

_STRING = 7  # the header type, see https://smithy.io/2.0/aws/amazon-eventstream.html
_STREAM = "application/vnd.amazon.eventstream"


def converse(asked: dict[str, Any]) -> Answer:
    """Answer `POST /model/MODEL/converse`."""
    block, reason, usage = _choose(asked)
    message = {"role": "assistant", "content": [block]}
    return Answer.json(
        {"output": {"message": message}, "stopReason": reason, "usage": usage, "metrics": {"latencyMs": 1}}
    )


def converse_stream(asked: dict[str, Any]) -> Answer:
    """Answer `POST /model/MODEL/converse-stream`."""
    block, reason, usage = _choose(asked)
    messages = [_message("messageStart", {"role": "assistant"})]
    if "toolUse" in block:
        use = block["toolUse"]
        start = {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}
        messages.append(_message("contentBlockStart", {"contentBlockIndex": 0, "start": start}))
        deltas: list[dict[str, Any]] = [{"toolUse": {"input": json.dumps(use["input"])}}]
    else:
        deltas = [{"text": part} for part in parts(block["text"])]
    messages += [_message("contentBlockDelta", {"contentBlockIndex": 0, "delta": delta}) for delta in deltas]
    messages.append(_message("contentBlockStop", {"contentBlockIndex": 0}))
    messages.append(_message("messageStop", {"stopReason": reason}))
    messages.append(_message("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}))
    return Answer(_STREAM, b"".join(messages))


def invoke(asked: dict[str, Any]) -> Answer:
    """Answer `POST /model/MODEL/invoke` for Anthropic's models."""
    return anthropic.messages({"model": "claude", **asked})


def invoke_stream(asked: dict[str, Any]) -> Answer:
    """Answer `POST /model/MODEL/invoke-with-response-stream` for Anthropic's models."""
    sent = anthropic.messages({"model": "claude", **asked, "stream": True}).body.decode()
    lines = [line.removeprefix("data: ") for line in sent.splitlines() if line.startswith("data: ")]
    chunks = [_message("chunk", {"bytes": base64.b64encode(line.encode()).decode()}) for line in lines]
    return Answer(_STREAM, b"".join(chunks))


def _choose(asked: dict[str, Any]) -> tuple[dict[str, Any], str, dict[str, int]]:
    turns = asked["messages"]
    blocks = [(turn["role"], block) for turn in turns for block in turn["content"]]
    users = [block["text"] for role, block in blocks if role == "user" and "text" in block]
    offered = [tool["toolSpec"]["name"] for tool in (asked.get("toolConfig") or {}).get("tools", [])]
    has_result = any("toolResult" in block for _, block in blocks)
    chosen = reply(flat([asked.get("system"), turns]), users[-1] if users else "", offered, has_result)
    usage = {
        "inputTokens": chosen.tokens[0],
        "outputTokens": chosen.tokens[1],
        "totalTokens": sum(chosen.tokens),
    }
    if chosen.tool:
        use = {"toolUseId": "use_1", "name": chosen.tool, "input": chosen.arguments}
        return {"toolUse": use}, "tool_use", usage
    return {"text": chosen.text}, "end_turn", usage


def _message(kind: str, payload: dict[str, Any]) -> bytes:
    """Encode a message: lengths and their checksum, headers, payload, the checksum of all."""
    given = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", _STRING, len(value)) + value.encode()
        for name, value in given.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack("!I", crc32(prelude)) + headers + body
    return message + struct.pack("!I", crc32(message))
