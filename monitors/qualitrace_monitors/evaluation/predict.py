"""Where answers come from that the data set lacks: a function of the question, or an HTTP endpoint.

Either gives the answer as text, or as a mapping with `answer` and the `context` that it rests on (a list of texts).
"""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import httpx
import mlflow
from mlflow.entities import SpanType
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from qualitrace_collector.config.values import without_credentials
from qualitrace_collector.convert.content import answer_text
from qualitrace_collector.convert.content.documents import documents

ATTEMPTS = 4
_TRANSIENT = (408, 429, 502, 503, 504)

Predict = Callable[[str], Any]


class PredictionError(Exception):
    """An endpoint gave no answer; the message says which and why."""


class Endpoint:
    """An HTTP endpoint that answers: POST `{"question": …}` → `{"answer": …, "context": […]}`. Thread-safe.

    Args:
        url: of the endpoint.
        timeout: seconds for one try; of which there are four where the endpoint is busy or away.
    """

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        self._url = url
        self._client = httpx.Client(timeout=timeout)
        self._tries = Retrying(
            retry=retry_if_exception(_is_transient),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(max=10),
            reraise=True,
        )

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


def traced(predict: Predict) -> Callable[..., str]:
    """Make a function for `mlflow.genai.evaluate` of one that answers; its context becomes a retriever span."""

    @mlflow.trace(name="answer", span_type=SpanType.CHAIN)
    def answer(question: str) -> str:
        given = asyncio.run(predict(question)) if inspect.iscoroutinefunction(predict) else predict(question)
        if isinstance(given, dict) and (context := given.get("context")):
            record_context(question, [document["page_content"] for document in documents(context)])
        return answer_text(given) or str(given)

    return answer


def record_context(question: str, passages: list[str]) -> None:
    """Write passages into the current trace as what a retriever found."""
    with mlflow.start_span("context", span_type=SpanType.RETRIEVER) as span:
        span.set_inputs({"query": question})
        span.set_outputs([{"page_content": passage, "metadata": {}} for passage in passages])
