"""The demo's models behind OpenAI's Chat Completions API, streaming and not: the shop assistant's, and a judge.

It implements the part of https://platform.openai.com/docs/api-reference/chat that concerns text. The assistant's model
answers with a sentence of its prompt, or makes an answer up; the judge looks the answer up in the document. They answer
for any model's name.
"""

import json
import random
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

ENOUGH_OVERLAP = 0.7
"""Share of the question's letter trigrams that a sentence must hold to count as its answer."""

_INVENTIONS = (
    "For {subject}, our partner {partner} charges {price} dollars and answers within {number} hours.",
    "{partner} has looked after {subject} since last spring, with a limit of {number} per household.",
    "That depends on the season: {partner} plans {number} minutes and {price} dollars for {subject}.",
)
_PARTNERS = ("Quillfeather Logistics", "Amberjack Services", "Tolliver and Daughters", "Nordvik Concierge")
_FUNCTION_WORD = re.compile(rf"\W*\b(?:{'|'.join(ENGLISH_STOP_WORDS)}|come|cost|does|high|long)\b\W*", re.IGNORECASE)
_FENCED = r"{}:\n<(data-\w+)>\n(.*?)\n</\1>"  # how a judge's prompt holds a text
_trigrams_of = CountVectorizer(analyzer="char_wb", ngram_range=(3, 3)).build_analyzer()


def answer(question: str, prompt: str) -> str:
    """Answer `question` with the sentence of `prompt` that shares most with it.

    If none shares enough, it makes an answer up that sounds as sure as any: models do that when their passages do not
    hold the answer. The same question always gets the same invention.
    """
    wanted = _content(question)
    sentences = re.split(r"(?<=[.!?])\s+|\n+", prompt)
    overlap, best = max((len(wanted & _content(sentence)), sentence.strip()) for sentence in sentences)
    return best if wanted and overlap >= ENOUGH_OVERLAP * len(wanted) else _invent(question)


def _content(text: str) -> set[str]:
    """Return the trigrams of the words that carry meaning."""
    return set(_trigrams_of(_FUNCTION_WORD.sub(" ", text)))


def _invent(question: str) -> str:
    chance = random.Random(question)
    return chance.choice(_INVENTIONS).format(
        subject=max(_FUNCTION_WORD.split(question.strip(" ?")), key=len) or "this",
        partner=chance.choice(_PARTNERS),
        number=chance.randrange(3, 90),
        price=chance.randrange(11, 400),
    )


def verdict(task: str, _: str) -> str:
    """Judge groundedness by a judge's prompt: the assistant's answers are sentences of the document, or inventions."""
    document, said = (_fenced(title, task) for title in ("Document", "Answer to judge"))
    found = bool(said) and said in document
    reason = "The document says so." if found else "The document does not say so."
    given = {"evidence": said[:200], "reason": reason, "score": float(found), "verdict": "pass" if found else "fail"}
    return json.dumps(given)


def _fenced(title: str, prompt: str) -> str:
    found = re.search(_FENCED.format(title), prompt, re.DOTALL)
    return found[2] if found else ""


def model_app() -> Starlette:
    """Make the models' server: the assistant's is at `/v1`, the judge at `/judge/v1`."""
    return Starlette(
        routes=[
            Route("/v1/chat/completions", _completions(answer), methods=["POST"]),
            Route("/judge/v1/chat/completions", _completions(verdict), methods=["POST"]),
        ]
    )


def _completions(say: Callable[[str, str], str]) -> Callable[[Request], Awaitable[Response]]:
    """Make the endpoint of a model; `say` gets the last message and those before."""

    async def complete(request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        if not body.get("messages"):
            return JSONResponse({"error": {"message": "messages: at least one is required"}}, status_code=400)
        *context, question = [message["content"] for message in body["messages"]]
        text = say(question, "\n".join(context))
        sent, said = sum(map(_tokens, (*context, question))), _tokens(text)
        usage = {"prompt_tokens": sent, "completion_tokens": said, "total_tokens": sent + said}
        reply = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": body.get("model", "")}
        if body.get("stream"):
            wanted = (body.get("stream_options") or {}).get("include_usage")
            return StreamingResponse(_events(reply, text, usage if wanted else None), media_type="text/event-stream")
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return JSONResponse({**reply, "object": "chat.completion", "choices": [choice], "usage": usage})

    return complete


def _events(reply: dict[str, Any], text: str, usage: dict[str, int] | None) -> Iterator[str]:
    """Yield the reply word by word as server-sent events, and then its usage, if wanted."""

    def event(*choices: dict[str, Any], **more: Any) -> str:
        return f"data: {json.dumps({**reply, 'object': 'chat.completion.chunk', 'choices': choices, **more})}\n\n"

    for word in re.findall(r"\s*\S+", text):
        yield event({"index": 0, "delta": {"content": word}, "finish_reason": None})
    yield event({"index": 0, "delta": {}, "finish_reason": "stop"})
    if usage:
        yield event(usage=usage)
    yield "data: [DONE]\n\n"


def _tokens(text: str) -> int:
    """Estimate tokens by OpenAI's rule of thumb: four characters each."""
    return -(-len(text) // 4)
