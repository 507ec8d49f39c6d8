"""Where answers come from that the data set lacks: a function of the question, or an HTTP endpoint.

Either gives the answer as text, or as a mapping with `answer` and the `context` that it rests on (a list of texts).
"""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from qualitrace_collector.config.values import without_credentials
from qualitrace_monitors.rows.cells import content_of, plain

ATTEMPTS = 4
_TRANSIENT = (408, 429, 502, 503, 504)

Predict = Callable[[str], Any]
Answer = Callable[[str], tuple[str, tuple[str, ...]]]
"""Gives the answer to a question, and the passages that it rests on."""


class PredictionError(Exception):
    """A function or an endpoint gave no answer; the message says which and why."""


class Endpoint:
    """An HTTP endpoint that answers: POST `{"question": …}` → `{"answer": …, "context": […]}`. Thread-safe.

    Args:
        url: of the endpoint.
        timeout: seconds for one try; of which there are four where the endpoint is busy or away.
    """

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        self._url = url
        self._client = httpx.Client(timeout=timeout)
        self._tries = _tries(_is_transient)

    def __call__(self, question: str) -> Any:
        """Ask.

        Raises:
            PredictionError: no answer came, or none that is JSON.
        """
        try:
            return self._tries(self._post, question)
        except (httpx.HTTPError, ValueError) as error:
            raise PredictionError(without_credentials(f"{self._url}: {error}")) from error

    def _post(self, question: str) -> Any:
        return self._client.post(self._url, json={"question": question}).raise_for_status().json()


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in _TRANSIENT
    return isinstance(error, httpx.TransportError)


def _is_rate_limit(error: BaseException) -> bool:
    """Whether a provider's client (OpenAI's, Anthropic's …) says that there were too many requests."""
    return getattr(error, "status_code", None) == httpx.codes.TOO_MANY_REQUESTS


def _tries(is_worth: Callable[[BaseException], bool]) -> Retrying:
    return Retrying(
        retry=retry_if_exception(is_worth),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(max=10),
        reraise=True,
    )


def answerer(predict: Predict | str) -> Answer:
    """Make one interface of a function, plain or async, and of an endpoint's URL."""
    ask = Endpoint(predict) if isinstance(predict, str) else predict
    tries = _tries(_is_rate_limit)

    def answer(question: str) -> tuple[str, tuple[str, ...]]:
        given = tries(lambda: asyncio.run(ask(question)) if inspect.iscoroutinefunction(ask) else ask(question))
        content = content_of(None, plain(given))
        if content.answer is None:
            raise PredictionError("it gave no answer")
        return content.answer, content.passages

    return answer
