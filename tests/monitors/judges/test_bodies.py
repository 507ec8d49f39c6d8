"""What providers' HTTP bodies say: the model's message in each form, why there is none, and errors under a 200."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.build import build_judge
from qualitrace_monitors.judges.contract import JudgeError, Score, TransientJudgeError
from qualitrace_monitors.judges.llm.provider import GatewayRoute
from qualitrace_monitors.judges.llm.sender import LARGEST_BODY
from qualitrace_monitors.judges.settings import JudgeConfig

FIELDS = {"evidence": "e", "reason": "r", "score": 0.9, "verdict": "pass"}
VERDICT = json.dumps(FIELDS)
OTHER = json.dumps({"score": 0.1, "verdict": "fail"})

Answer = Callable[[Any], Callable[..., Score]]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Give a judge's score of an answer whose whole body, JSON or bytes, is given; all comes with status 200."""
    for name in ("MLFLOW_DEPLOYMENTS_TARGET", "MLFLOW_GENAI_JUDGE_BASE_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    def answer(body: Any) -> Callable[..., Score]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer_with(monkeypatch, lambda _: httpx.Response(200, stream=httpx.ByteStream(content)))
        return judged

    return answer


def answer_with(monkeypatch: pytest.MonkeyPatch, answer: Callable[[httpx.Request], httpx.Response]) -> None:
    """Let every connection of httpx answer so."""
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda _, request: answer(request))


def judged(model: str = "openai:/m") -> Score:
    own = {} if model.startswith(("endpoints", "sap")) else {"api_key": "key-1"}
    at = {"base_url": "http://127.0.0.1:9"} if model.startswith(("openai", "anthropic", "bedrock")) else {}
    judge = build_judge(JudgeConfig.model_validate({"name": "toxicity", "model": model, **own, **at}))
    return judge.score(Sample(outputs="Hello."))


def openai(message: dict[str, Any], **choice: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, **choice}]}


def test_of_a_chat_completion_the_message_is_enough(answered: Answer) -> None:
    """Servers leave out id, model, role, finish reason and usage, or give them as null."""
    assert answered(openai({"content": VERDICT}))().label == "pass"
    full = {"id": None, "model": None, **openai({"role": "assistant", "content": VERDICT}, index=0), "usage": None}
    score = answered(full)()
    assert (score.value, score.label, score.input_tokens, score.output_tokens) == (0.9, "pass", 0, 0)


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": None}, {"prompt_tokens": "7"}, {"prompt_tokens": -7}, [], "x"])
def test_a_strange_usage_counts_nothing(answered: Answer, usage: Any) -> None:
    """What cannot be a number of tokens is none."""
    score = answered({**openai({"content": VERDICT}), "usage": usage})()
    assert (score.label, score.input_tokens, score.output_tokens) == ("pass", 0, 0)


@pytest.mark.parametrize(
    "message",
    [
        {"content": [{"type": "text", "text": VERDICT}]},
        {"content": [{"type": "text", "text": VERDICT[:30]}, {"type": "text", "text": VERDICT[30:]}]},
        {"content": [VERDICT]},
        {"content": [{"type": "thinking", "thinking": OTHER}, {"type": "output_text", "text": VERDICT}]},
        {"content": [{"type": "reasoning", "text": OTHER}, {"type": "text", "text": VERDICT}]},
        {"content": VERDICT, "reasoning_content": OTHER, "reasoning": OTHER},
        {"content": None, "tool_calls": [{"type": "function", "function": {"name": "verdict", "arguments": VERDICT}}]},
        {"content": "", "tool_calls": [{"function": {"name": "verdict", "arguments": FIELDS}}]},
    ],
)
def test_a_message_is_read_in_every_shape(answered: Answer, message: dict[str, Any]) -> None:
    """Text, parts of text, or the arguments of a tool; never thoughts."""
    score = answered(openai(message))()
    assert (score.value, score.label) == (0.9, "pass")


def test_a_text_completion_is_read(answered: Answer) -> None:
    """Old servers answer with a text in place of a message."""
    assert answered({"choices": [{"text": VERDICT}]})().label == "pass"


ANTHROPIC = {"type": "message", "content": [{"type": "text", "text": VERDICT}], "stop_reason": "end_turn"}
GEMINI = {"candidates": [{"content": {"parts": [{"text": VERDICT}]}, "finishReason": "STOP"}]}
CONVERSE = {"output": {"message": {"role": "assistant", "content": [{"text": VERDICT}]}}, "stopReason": "end_turn"}
THOUGHT = {"thought": True, "text": OTHER}


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("endpoints:/m", openai({"content": VERDICT})),
        ("anthropic:/m", ANTHROPIC),
        ("anthropic:/m", {**ANTHROPIC, "usage": None}),
        ("anthropic:/m", {"content": [{"type": "thinking", "thinking": OTHER}, *ANTHROPIC["content"]]}),
        ("anthropic:/m", {"content": [{"type": "tool_use", "name": "verdict", "input": FIELDS}]}),
        ("gemini:/m", GEMINI),
        ("gemini:/m", {"candidates": [{"content": {"parts": [THOUGHT, {"text": VERDICT}]}}], "usageMetadata": None}),
        ("gemini:/m", {"candidates": [{"content": {"parts": [{"text": VERDICT[:9]}, {"text": VERDICT[9:]}]}}]}),
        ("gemini:/m", {"candidates": [{"content": {"parts": [{"functionCall": {"name": "v", "args": FIELDS}}]}}]}),
        ("bedrock:/m", CONVERSE),
        ("bedrock:/m", {"output": {"message": {"content": [{"reasoningContent": {}}, {"text": VERDICT}]}}}),
        ("bedrock:/m", {"output": {"message": {"content": [{"toolUse": {"name": "v", "input": FIELDS}}]}}}),
        ("sap-ai-core:/m", {"request_id": "1", "final_result": openai({"content": VERDICT})}),
    ],
)
def test_every_form_is_read_with_nothing_but_the_message(answered: Answer, model: str, body: dict[str, Any]) -> None:
    """On each route thoughts are left out, parts joined, and missing counts do not matter."""
    score = answered(body)(model)
    assert (score.value, score.label) == (0.9, "pass")


def test_a_form_that_mlflow_alone_knows_is_translated_by_it() -> None:
    """As for providers that are plugged into MLflow."""
    tokens = {"prompt_tokens": 7, "response_tokens": 5, "total_tokens": 12}
    body = {"response_id": "1", "text": VERDICT, "finish_reason": "COMPLETE", "token_count": tokens}
    reply = GatewayRoute("cohere", "m", None, "key-1").read(body)
    assert reply is not None
    assert (reply.text, reply.input_tokens, reply.output_tokens) == (VERDICT, 7, 5)


@pytest.mark.parametrize(
    ("model", "body", "tokens"),
    [
        ("openai:/m", {**openai({"content": VERDICT}), "usage": {"prompt_tokens": 7, "completion_tokens": 5}}, (7, 5)),
        (
            "anthropic:/m",
            {**ANTHROPIC, "usage": {"input_tokens": 4, "cache_read_input_tokens": 3, "output_tokens": 5}},
            (7, 5),
        ),
        (
            "gemini:/m",
            {
                **GEMINI,
                "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 2, "thoughtsTokenCount": 3},
            },
            (7, 5),
        ),
        ("bedrock:/m", {**CONVERSE, "usage": {"inputTokens": 7, "outputTokens": 5}}, (7, 5)),
    ],
)
def test_tokens_are_counted_in_every_form(
    answered: Answer, model: str, body: dict[str, Any], tokens: tuple[int, int]
) -> None:
    """With those that came from a cache, and those of thoughts, which cost as much as the answer's."""
    score = answered(body)(model)
    assert (score.input_tokens, score.output_tokens) == tokens


@pytest.mark.parametrize(
    ("model", "body", "reason"),
    [
        ("openai:/m", openai({"content": None, "reasoning_content": VERDICT}, finish_reason="length"), "token limit"),
        ("openai:/m", openai({"content": VERDICT[:50]}, finish_reason="length"), "cut off.*token limit"),
        ("openai:/m", openai({"content": None, "refusal": "I must not judge " + "x" * 900}), "refused: 'I must not"),
        ("openai:/m", openai({"content": [{"type": "refusal", "refusal": "I must not"}]}), "refused: 'I must not"),
        ("openai:/m", openai({"content": None}, finish_reason="content_filter"), "filter stopped it"),
        ("openai:/m", openai({"content": None, "reasoning": VERDICT}), "empty"),
        ("openai:/m", openai({}), "empty"),
        ("openai:/m", {"choices": [{"message": None}]}, "empty"),
        ("anthropic:/m", {**ANTHROPIC, "content": [], "stop_reason": "refusal"}, "filter stopped it"),
        ("anthropic:/m", {**ANTHROPIC, "content": [], "stop_reason": "max_tokens"}, "token limit"),
        ("anthropic:/m", {"content": [{"type": "thinking", "thinking": VERDICT}]}, "empty"),
        ("gemini:/m", {"candidates": [{"finishReason": "MAX_TOKENS"}]}, "token limit"),
        ("gemini:/m", {"candidates": [{"finishReason": "SAFETY"}]}, "filter stopped it"),
        ("gemini:/m", {"promptFeedback": {"blockReason": "SAFETY"}}, "refused: 'SAFETY'"),
        ("gemini:/m", {"candidates": [{"content": {"parts": [{"thought": True, "text": VERDICT}]}}]}, "empty"),
        ("bedrock:/m", {"output": {"message": {"content": []}}, "stopReason": "guardrail_intervened"}, "filter"),
    ],
)
def test_a_message_without_a_verdict_fails_with_the_reason(
    answered: Answer, model: str, body: dict[str, Any], reason: str
) -> None:
    """Refusals are quoted shortly; limits and filters named; a verdict in thoughts is none."""
    with pytest.raises(JudgeError, match=reason) as caught:
        answered(body)(model)
    assert not isinstance(caught.value, TransientJudgeError)
    assert len(str(caught.value)) < 600


def test_a_reply_that_is_no_verdict_has_its_price_all_the_same(answered: Answer) -> None:
    """A refusal was paid for."""
    body = {**openai({"refusal": "no"}), "usage": {"prompt_tokens": 7, "completion_tokens": 5}}
    with pytest.raises(JudgeError) as caught:
        answered(body)()
    assert caught.value.usage[:2] == (7, 5)


PASSING: list[Any] = [
    {"error": {"message": "upstream is away", "code": 503}},
    {"error": {"message": "upstream is away", "code": "502"}},
    {"error": {"message": "m", "type": "rate_limit_exceeded"}},
    {"error": {"message": "m", "type": "server_error", "code": None}},
    {"error": {"message": "m", "code": 429}, "user_id": "u"},
    {"error": {"message": "m", "code": 1302}},
    {"error": {"message": "nobody knows why"}},
    {"error": "the model is loading"},
    {"error": "Invalid response from upstream"},
    {
        "choices": [
            {"error": {"code": 502, "message": "broke off"}, "finish_reason": "error", "message": {"content": ""}}
        ]
    },
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    {"type": "error", "error": {"type": "api_error", "message": "Internal server error"}},
    {"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}},
    [{"error": {"code": 500, "message": "m", "status": "INTERNAL"}}],
    {"error": {"message": "m", "status": "RESOURCE_EXHAUSTED"}},
    {"errors": [{"code": 504, "message": "m"}]},
    {"message": "Too many requests, please wait", "__type": "ThrottlingException"},
    {"object": "error", "message": "m", "type": "InternalServerError", "code": 500},
]
LASTING: list[Any] = [
    {"error": {"message": "Incorrect API key provided", "type": "invalid_request_error", "code": "invalid_api_key"}},
    {"error": {"message": "No auth credentials found", "code": 401}},
    {"error": {"message": "m", "code": 402}},
    {"error": {"message": "m", "code": 403}},
    {"error": {"message": "The model `m` does not exist", "code": "model_not_found"}},
    {"error": "model 'm' not found"},
    {"error": "Invalid API key"},
    {"error": {"message": "m", "type": "invalid_request_error", "code": "context_length_exceeded"}},
    {"error": {"message": "The response was filtered", "code": "content_filter", "status": 400, "param": "prompt"}},
    {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}},
    {"type": "error", "error": {"type": "not_found_error", "message": "model: m"}},
    {"error": {"code": 400, "message": "API key not valid", "status": "INVALID_ARGUMENT"}},
    {"error": {"message": "m", "status": "PERMISSION_DENIED"}},
    {"message": "m", "__type": "AccessDeniedException"},
    {"detail": "Not Found"},
    {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "m"},
    {"object": "error", "message": "m", "type": "BadRequestError", "code": 400},
]


@pytest.mark.parametrize(("body", "passing"), [(one, True) for one in PASSING] + [(one, False) for one in LASTING])
def test_an_error_under_a_200_is_worth_another_try_if_its_kind_may_pass(
    answered: Answer, body: Any, passing: bool
) -> None:
    """By its status, or the name of its kind; what nobody knows may pass, a wrong key or model does not."""
    with pytest.raises(JudgeError, match="openai: the response reports an error") as caught:
        answered(body)()
    assert isinstance(caught.value, TransientJudgeError) == passing


@pytest.mark.parametrize("error", [None, {}, [], "", False, {"code": None, "message": None}])
def test_an_error_that_says_nothing_is_none(answered: Answer, error: Any) -> None:
    """Some servers always send the member."""
    assert answered({**openai({"content": VERDICT}), "error": error})().label == "pass"


@pytest.mark.parametrize(
    "body", [b"<html><body>Welcome</body></html>", b"", b'{"choices": [{"mess', b"\xff\xfe\xfa", b"[" * 100_000]
)
def test_a_body_that_is_no_json_is_worth_another_try(answered: Answer, body: bytes) -> None:
    """A proxy's page, or an answer that broke off."""
    with pytest.raises(TransientJudgeError, match="openai: the response is no JSON"):
        answered(body)()


@pytest.mark.parametrize(
    "body", ["hello", 7, [], {}, [1, 2], {"choices": []}, {"choices": {}}, {"id": "x"}, {"message": {"content": "x"}}]
)
def test_json_of_another_kind_is_no_chat_completion(answered: Answer, body: Any) -> None:
    """A server that speaks something else will do so again."""
    with pytest.raises(JudgeError, match="openai: the response is no chat completion") as caught:
        answered(body)()
    assert not isinstance(caught.value, TransientJudgeError)


def test_a_body_that_is_too_large_is_not_read_to_its_end(answered: Answer) -> None:
    """A server gone mad does not fill the memory."""
    with pytest.raises(JudgeError, match="larger than 8 MiB"):
        answered(b" " * LARGEST_BODY + VERDICT.encode())()


def test_a_parameter_that_is_refused_under_a_200_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it had been refused with a status of its own."""
    asked: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        error = {"error": {"message": "response_format is not supported", "code": 400}}
        body = openai({"content": VERDICT}) if len(asked) > 1 else error
        return httpx.Response(200, stream=httpx.ByteStream(json.dumps(body).encode()))

    answer_with(monkeypatch, answer)
    assert judged().label == "pass"
    assert ["response_format" in body for body in asked] == [True, False]
