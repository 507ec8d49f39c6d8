"""Gemini's `generateContent`, as Google AI and Vertex AI speak it."""

from typing import Any

from libraries.providers.answer import Answer, events
from libraries.providers.script import flat, parts, reply


def generate(asked: dict[str, Any]) -> Answer:
    """Answer `POST …:generateContent`."""
    content, reason, usage = _choose(asked)
    return Answer.json(_response([content], reason, usage)[0])


def stream(asked: dict[str, Any]) -> Answer:
    """Answer `POST …:streamGenerateContent?alt=sse`."""
    return Answer("text/event-stream", events(*_stream(asked)))


def stream_array(asked: dict[str, Any]) -> Answer:
    """Answer `POST …:streamGenerateContent` without `alt=sse`: one JSON array."""
    return Answer.json(_stream(asked))


def _stream(asked: dict[str, Any]) -> list[dict[str, Any]]:
    content, reason, usage = _choose(asked)
    text = content["parts"][0].get("text")
    cut = [{**content, "parts": [{"text": part}]} for part in parts(text)] if text else [content]
    return _response(cut, reason, usage)


def _choose(asked: dict[str, Any]) -> tuple[dict[str, Any], str, dict[str, int]]:
    turns = asked["contents"]
    declared = [one for tool in asked.get("tools") or [] for one in tool.get("functionDeclarations", [])]
    users = [flat([part.get("text") for part in turn["parts"]]) for turn in turns if turn.get("role") != "model"]
    has_result = any("functionResponse" in part for turn in turns for part in turn["parts"])
    given = flat([asked.get("systemInstruction"), turns])
    chosen = reply(given, next(filter(None, reversed(users)), ""), [one["name"] for one in declared], has_result)
    call = {"functionCall": {"name": chosen.tool, "args": chosen.arguments}}
    content = {"role": "model", "parts": [call if chosen.tool else {"text": chosen.text}]}
    usage = {
        "promptTokenCount": chosen.tokens[0],
        "candidatesTokenCount": chosen.tokens[1],
        "totalTokenCount": sum(chosen.tokens),
    }
    return content, "STOP", usage


def _response(contents: list[dict[str, Any]], reason: str, usage: dict[str, int]) -> list[dict[str, Any]]:
    """Write a response for each content; the last one has the reason and the tokens."""
    base = {"modelVersion": "gemini-3-flash", "responseId": "response-1"}
    written: list[dict[str, Any]] = [{**base, "candidates": [{"index": 0, "content": one}]} for one in contents]
    written[-1]["candidates"][0]["finishReason"] = reason
    written[-1]["usageMetadata"] = usage
    return written
