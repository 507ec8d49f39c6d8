"""What errors of other libraries mean: found in the HTTP answer inside, or in their names."""

from typing import Any

import httpx
import openai
import pytest
import requests
from botocore.exceptions import ClientError
from databricks.sdk.errors import DeadlineExceeded, TooManyRequests
from mlflow.exceptions import MlflowException
from mlflow.genai.judges.adapters.utils import ChatCompletionError
from mlflow.protos.databricks_pb2 import RESOURCE_EXHAUSTED

from qualitrace_monitors.judges.contract import TransientJudgeError
from qualitrace_monitors.judges.failures import failure_by_name, failure_of


def of_requests(status: int, headers: dict[str, str]) -> Exception:
    response = requests.Response()
    response.status_code = status
    response.headers.update(headers)
    return requests.HTTPError("no", response=response)


def of_httpx(status: int, headers: dict[str, str]) -> Exception:
    asked = httpx.Request("POST", "http://localhost")
    return httpx.HTTPStatusError("no", request=asked, response=httpx.Response(status, headers=headers, request=asked))


def of_openai(status: int, headers: dict[str, str]) -> Exception:
    response = httpx.Response(status, headers=headers, request=httpx.Request("POST", "http://localhost"))
    return openai.APIStatusError("no", response=response, body=None)


def of_botocore(status: int, headers: dict[str, str]) -> Exception:
    lower = {name.lower(): value for name, value in headers.items()}
    answer: Any = {"Error": {}, "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": lower}}
    return ClientError(answer, "Converse")


@pytest.mark.parametrize("made", [of_requests, of_httpx, of_openai, of_botocore])
@pytest.mark.parametrize(("status", "transient"), [(429, True), (529, True), (400, False), (403, False)])
def test_the_answer_inside_decides(made: Any, status: int, transient: bool) -> None:
    """However often MLflow wrapped it, the status decides whether to try again, and Retry-After when."""
    error = MlflowException("call failed")
    error.__cause__ = made(status, {"Retry-After": "7"})
    failure = failure_of("scorer x", error)
    assert str(failure) == "scorer x: call failed"
    assert (failure.retry_after if isinstance(failure, TransientJudgeError) else None) == (7.0 if transient else None)


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionRefusedError("no"), True),
        (requests.ReadTimeout("no"), True),
        (httpx.ReadError("no"), True),
        (httpx.RemoteProtocolError("no"), True),
        (httpx.LocalProtocolError("no"), False),
        (TooManyRequests("no"), True),
        (DeadlineExceeded("no"), True),
        (MlflowException("no", error_code=RESOURCE_EXHAUSTED), True),
        (ChatCompletionError(529, "no"), True),
        (ChatCompletionError(401, "no"), False),
        (ValueError("answer 429 connects the timeout"), False),
    ],
)
def test_without_an_answer_the_kind_of_error_decides(error: Exception, transient: bool) -> None:
    """Networks and limits recover; words in the text of an error, which may be judged text, decide nothing."""
    assert isinstance(failure_of("scorer x", error), TransientJudgeError) == transient


def raise_while_handling(*, from_none: bool) -> None:
    try:
        raise ConnectionResetError("gone")
    except ConnectionResetError:
        if from_none:
            raise ValueError("no verdict") from None
        raise ValueError("no verdict")  # noqa: B904


@pytest.mark.parametrize("from_none", [False, True])
def test_what_an_error_was_raised_from_counts(from_none: bool) -> None:
    """An error that was raised while another was handled is classified by that one, unless it says otherwise."""
    with pytest.raises(ValueError, match="no verdict") as caught:
        raise_while_handling(from_none=from_none)
    assert isinstance(failure_of("x", caught.value), TransientJudgeError) != from_none


def test_an_error_that_was_raised_from_itself_ends() -> None:
    """`raise error from error` makes a circle of causes, in which a search for the answer must not run for ever."""
    error = ConnectionResetError("gone")
    error.__cause__ = error
    assert isinstance(failure_of("x", error), TransientJudgeError)


@pytest.mark.parametrize(
    ("kind", "text", "transient"),
    [
        ("RateLimitError", "slow down", True),
        ("MlflowException", "- Error: 503 Server Error: Service Unavailable for url: http://localhost", True),
        ("MlflowException", "- Error: 401 Client Error: Unauthorized for url\n- Input payload: 429 rooms", False),
        ("ValueError", "no verdict", False),
    ],
)
def test_of_an_error_that_only_its_text_is_left_of(kind: str, text: str, transient: bool) -> None:
    """Name and message of an error that MLflow kept as feedback are enough to decide."""
    assert isinstance(failure_by_name("scorer x", kind, text), TransientJudgeError) == transient


def test_messages_are_short_and_without_the_request() -> None:
    """Neither a long answer nor the judged text, which MLflow repeats in its errors, gets into the log."""
    assert len(str(failure_of("scorer x", ValueError("a" * 10_000)))) < 600
    failure = failure_of("scorer x", MlflowException("- Error: no\n- Input payload: {'messages': 'my secret'}."))
    assert str(failure) == "scorer x: - Error: no"
