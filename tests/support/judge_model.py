"""An OpenAI-compatible provider whose model judges: it fails answers with a marker in them, and passes the rest.

It speaks the form of our judges and, beside it, that of MLflow's.
"""

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from support.app import served

MARKER = "pineapple"


@contextmanager
def judge_model(
    status: int | Callable[[], int] = 200, says: str | None = None, tokens: int = 100
) -> Generator[tuple[str, list[dict[str, Any]]]]:
    """Serve it, answering with an HTTP status, or always the same text; gives the base URL and the requests.

    Args:
        tokens: of each prompt, as it says.
    """
    requests: list[dict[str, Any]] = []

    def answer(path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        requests.append(body)
        bad = MARKER in json.dumps(body["messages"])
        verdict = {
            "evidence": MARKER if bad else "",
            "reason": "it speaks of fruit" if bad else "it is fine",
            "score": 0.0 if bad else 1.0,
            "verdict": "fail" if bad else "pass",
            "result": "no" if bad else "yes",
            "rationale": "it speaks of fruit" if bad else "it is fine",
        }
        message = {"role": "assistant", "content": says or json.dumps(verdict)}
        completion = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": tokens, "completion_tokens": 20, "total_tokens": tokens + 20},
        }
        return status() if callable(status) else status, json.dumps(completion).encode()

    with served(answer) as url:
        yield f"{url}/v1", requests
