"""Asks the application: a function, or an HTTP endpoint.

Either gives the answer as text, or as a mapping with `answer` and the `context` that it rests on (a list of texts).
"""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from qualitrace_collector.masking import masked
from qualitrace_monitors.evaluation.dataset import DatasetRow
from qualitrace_monitors.rows.cells import content_of, plain

ATTEMPTS = 4
ENDPOINT_SECONDS = 60.0  # how long an endpoint may take for one try
_BUSY = (408, 429, 502, 503, 504)

Predict = Callable[..., Any]
# Gives the answer to a row's question, and the passages that it rests on.
Answer = Callable[[DatasetRow], tuple[str, tuple[str, ...]]]


class PredictionError(Exception):
    """A function or an endpoint gave no answer; the message says which and why."""


def answerer(predict: Predict | str) -> Answer:
    """Make one interface of a function, plain or async, and of an endpoint's URL; what is busy is asked again."""
    ask = _endpoint(predict) if isinstance(predict, str) else _function(predict)
    tries = Retrying(
        retry=retry_if_exception(_is_busy),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(max=10),
        reraise=True,
    )

    def answer(row: DatasetRow) -> tuple[str, tuple[str, ...]]:
        content = content_of(None, plain(tries(ask, row)))
        if content.answer is None:
            raise PredictionError("it gave no answer")
        return content.answer, content.passages

    return answer


def _function(predict: Predict) -> Callable[[DatasetRow], Any]:
    """Call a function with the question, and with what the row has under the names of its other parameters.

    Where the inputs are a mapping of its parameters, they are given by name, as MLflow's `evaluate` gives them to its
    `predict_fn`.
    """
    try:
        parameters = inspect.signature(predict).parameters.values()
    except (TypeError, ValueError):  # Python cannot tell of some functions that are written in C
        return lambda row: predict(row.question)
    takes_one = any(item.kind not in (item.KEYWORD_ONLY, item.VAR_KEYWORD) for item in parameters)
    names = [item.name for item in parameters if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY)]
    takes_any = any(item.kind is item.VAR_KEYWORD for item in parameters)
    first = next(iter(parameters)).name if takes_one else ""

    def ask(row: DatasetRow) -> Any:
        named = {name: row.named[name] for name in names if name in row.named}
        if not takes_one:
            given = predict(**(named | dict(row.inputs) if takes_any else named))
        elif first in row.inputs and row.inputs.keys() <= set(names):
            given = predict(**named)
        else:
            named.pop(first, None)
            given = predict(row.question, **named)
        return asyncio.run(given) if inspect.iscoroutine(given) else given

    return ask


def _endpoint(url: str) -> Callable[[DatasetRow], Any]:
    """Ask an HTTP endpoint: POST `{"question": …}` → `{"answer": …, "context": […]}`."""
    client = httpx.Client(timeout=ENDPOINT_SECONDS)

    def ask(row: DatasetRow) -> Any:
        try:
            return client.post(url, json={**row.inputs, "question": row.question}).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise PredictionError(masked(f"{url}: {error}")) from error

    return ask


def _is_busy(error: BaseException) -> bool:
    """Whether an endpoint is busy or away, or a provider's client (OpenAI's …) reports too many requests."""
    cause = error.__cause__ if isinstance(error, PredictionError) else None
    if isinstance(cause, httpx.HTTPStatusError):
        return cause.response.status_code in _BUSY
    return isinstance(cause, httpx.TransportError) or getattr(error, "status_code", None) == 429
