"""Reads a provider's HTTP body: the model's message in one of four forms, recognised by their keys, or an error.

- OpenAI's, of its many relatives: https://platform.openai.com/docs/api-reference/chat/object
- Anthropic's: https://docs.anthropic.com/en/api/messages
- Gemini's: https://ai.google.dev/api/generate-content#generatecontentresponse
- Bedrock's Converse: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html

Servers leave out what they do not count or know, so nothing but the message itself is required.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from qualitrace_monitors.judges.failures import quoted


class Reply(NamedTuple):
    """A model's answer, its tokens, their price in US dollars if known, and why it ended early, if it did."""

    text: str
    input_tokens: int
    output_tokens: int
    cost_usd: float | None = None
    input_cost_usd: float | None = None
    cut: str | None = None


_ENDED = frozenset(
    "stop end_turn stop_sequence eos eos_token complete finish_reason_unspecified tool_calls tool_use "
    "function_call".split()
)
_LIMITS = frozenset("length max_tokens model_length model_context_window_exceeded".split())
_FILTERS = frozenset(
    "content_filter content_filtered safety guardrail_intervened prohibited_content blocklist recitation spii "
    "refusal".split()
)
_THOUGHTS = {"thinking", "redacted_thinking", "reasoning", "thought"}


def read_body(body: Any) -> Reply | None:
    """Read a chat completion; None if the body is no such thing."""
    if not isinstance(body, dict):
        return None
    return next((read(body) for key, read in _FORMS.items() if body.get(key)), None)


def error_in(body: Any) -> Any:
    """Return the error that a server reports under a status that means success, in any form; None without one."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict):
        return None
    reported = body.get("error") or body.get("errors") or _first(body.get("choices")).get("error")
    if not reported and body.keys().isdisjoint(_FORMS):  # FastAPI, AWS, Databricks, vLLM
        message = body.get("detail") or body.get("message") or body.get("Message") or body.get("error_code")
        return body if message and not isinstance(message, dict) else None
    says_something = any(reported.values()) if isinstance(reported, dict) else reported
    return reported if says_something else None


def _openai(body: dict[str, Any]) -> Reply:
    choice = _first(body["choices"])
    message = _dict(choice.get("message"))
    refusal = message.get("refusal") or "".join(str(part.get("refusal") or "") for part in _parts(message))
    said = [_text(message.get("content")), _text(message.get("tool_calls"))]  # both, for they may differ
    text = "\n".join(filter(None, said)) or _text(choice.get("text"))
    usage, tokens = _dict(body.get("usage")), ("prompt_tokens", "completion_tokens")
    return _reply(text, choice.get("finish_reason"), refusal, [_count(usage, name) for name in tokens])


def _anthropic(body: dict[str, Any]) -> Reply:
    usage = _dict(body.get("usage"))
    cached = _count(usage, "cache_read_input_tokens") + _count(usage, "cache_creation_input_tokens")
    tokens = [_count(usage, "input_tokens") + cached, _count(usage, "output_tokens")]
    return _reply(_text(body.get("content")), body.get("stop_reason"), None, tokens)


def _gemini(body: dict[str, Any]) -> Reply:
    candidate = _first(body.get("candidates"))
    usage, blocked = _dict(body.get("usageMetadata")), _dict(body.get("promptFeedback")).get("blockReason")
    output = _count(usage, "candidatesTokenCount") + _count(usage, "thoughtsTokenCount")
    text = _text(_dict(candidate.get("content")).get("parts"))
    return _reply(text, candidate.get("finishReason"), blocked, [_count(usage, "promptTokenCount"), output])


def _converse(body: dict[str, Any]) -> Reply:
    message, usage = _dict(_dict(body["output"]).get("message")), _dict(body.get("usage"))
    tokens = [_count(usage, name) for name in ("inputTokens", "outputTokens")]
    return _reply(_text(message.get("content")), body.get("stopReason"), None, tokens)


# By the first key that is there: a blocked prompt leaves Gemini without candidates, and an empty answer leaves
# Anthropic without content.
_FORMS: Mapping[str, Callable[[dict[str, Any]], Reply | None]] = {
    "choices": _openai,
    "candidates": _gemini,
    "promptFeedback": _gemini,
    "output": _converse,
    "content": _anthropic,
    "stop_reason": _anthropic,
    "final_result": lambda body: read_body(body["final_result"]),  # SAP AI Core wraps the answer of another provider
}


def _reply(text: str, ended: Any, refusal: Any, tokens: list[int]) -> Reply:
    reason = str(ended or "stop").lower()
    cut = None
    if refusal:
        cut = f"the model refused: {quoted(str(refusal))}"
    elif reason in _LIMITS:
        cut = f"the token limit cut it off ({ended})"
    elif reason in _FILTERS:
        cut = f"the provider's filter stopped it ({ended})"
    elif reason not in _ENDED:
        cut = f"it ended with {quoted(reason)}"
    return Reply(text, *tokens, cut=cut)


def _text(content: Any) -> str:
    """Join the text of a message, which may have parts; thoughts and images are left out.

    Servers that know no JSON schemas may answer with the call of a tool instead: its arguments count.
    """
    if isinstance(content, list):
        return "".join(map(_text, content))
    if not isinstance(content, dict):
        return content if isinstance(content, str) else ""
    if content.get("thought") or content.get("type") in _THOUGHTS:
        return ""
    if isinstance(text := content.get("text"), str):
        return text
    call = next((content[key] for key in ("function", "functionCall", "toolUse") if content.get(key)), content)
    return _arguments(_dict(call))


def _arguments(call: dict[str, Any]) -> str:
    arguments = next((call[key] for key in ("arguments", "args", "input") if call.get(key)), "")
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _first(items: Any) -> dict[str, Any]:
    return _dict(items[0]) if isinstance(items, list) and items else {}


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return [_dict(part) for part in content] if isinstance(content, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(usage: dict[str, Any], name: str) -> int:
    value = usage.get(name)
    return int(value) if isinstance(value, int | float) and 0 <= value < 1e9 else 0
