"""Turns a failed call into a judge's error: whether a retry can help, and how long the provider asks to wait.

MLflow, its integrations and the providers' clients wrap each other's errors. If there was an HTTP answer, one of these
errors carries it: as `response` in those of requests, httpx, openai, anthropic and botocore (a dictionary there), or as
a bare `status_code` in those of MLflow.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from qualitrace_collector.masking import masked
from qualitrace_collector.process.backoff import seconds_asked
from qualitrace_monitors.judges.contract import JudgeError, TransientJudgeError

BUSY = frozenset({408, 409, 425, 429})  # HTTP statuses below 500 that are worth another try

LONGEST_MESSAGE = 500  # characters of an error's message that are kept

QUOTED = 160  # characters of an answer that an error quotes
LONGEST_READ = 16_384  # characters that are searched for secrets before they are cut to these lengths

# MLflow's messages repeat the request, and with it the judged text, after these words.
_REQUEST = "- Input payload:"

# Parts of the names, in lower case, of errors that time may fix.
_AWAY = re.compile(
    "throttl|rate_?limit|request_limit|toomanyrequests|exhausted|overloaded|unavailable|internalserver"
    r"|timeout|deadline_?exceeded|connect|remoteprotocol|\b(read|write)error"
)

# Parts of the names, in lower case with _ for spaces, that providers give to errors that time does not fix.
_FINAL = re.compile(
    "invalid(?!_(?:response|json|reply))|api_?key|authenti|unauthori|permission|forbidden|denied|not_?found"
    "|does_?not_?exist|bad_?request|unsupported"
    "|too_?(large|long)|context_?length|context_?window|billing|credit|filter|policy|safety|blocked|validation|unprocessable"
)

_STATUS = re.compile(r"\b([45]\d\d) (?:Client|Server) Error\b")  # the status in a message of requests


def quoted(text: str) -> str:
    """Quote the beginning of a text in one line, for an error."""
    line = " ".join(masked(text[:LONGEST_READ]).split())
    return repr(line if len(line) <= QUOTED else line[: QUOTED - 1] + "…")


def http_failure(message: str, status: int, headers: Mapping[str, str]) -> JudgeError:
    """Return the error for an HTTP status that reports a failure; `headers` have lower-case names, or ignore case."""
    if status in BUSY or status >= 500:
        return TransientJudgeError(message, _wait_asked(headers))
    return JudgeError(message)


def _wait_asked(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that an answer asks to wait; OpenAI and Azure give milliseconds, beside whole seconds."""
    milliseconds = headers.get("retry-after-ms", "")
    if re.fullmatch(r"\d{1,12}(?:\.\d+)?", milliseconds):
        return float(milliseconds) / 1000
    return seconds_asked(headers.get("retry-after"), time.time())


def failure_of(who: str, error: BaseException) -> JudgeError:
    """Return the judge's error for another one, by the HTTP answer in it or, without one, by its names.

    Args:
        who: the caller that failed, for the message.
        error: any exception, which may wrap others.
    """
    links = list(_links(error))
    for link in links:
        status, headers = _answer(link)
        if status is not None:
            return http_failure(message_of(who, str(error)), status, headers)
    names = " ".join(f"{type(link).__name__} {getattr(link, 'error_code', '')}" for link in links)
    return failure_by_name(who, names, str(error))


def failure_by_name(who: str, names: str, text: str) -> JudgeError:
    """Return the judge's error for an error known only by its names and its message."""
    message = message_of(who, text)
    if status := _STATUS.search(message):  # MLflow's integrations keep the text of an error alone
        return http_failure(message, int(status[1]), {})
    return TransientJudgeError(message) if _AWAY.search(names.lower()) else JudgeError(message)


def failure_in_body(who: str, error: Any, headers: Mapping[str, str]) -> JudgeError:
    """Return the judge's error for an error in the body of a response whose status means success.

    A code that is an HTTP status decides, as OpenRouter and Gemini send it; else the provider's names for the error,
    else its message. An unknown error is worth a retry.

    Args:
        who: the caller that failed, for the message.
        error: what the body reports: a text, an object, or a list of one.
        headers: of the answer.
    """
    if isinstance(error, list) and len(error) == 1:
        error = error[0]
    fields: Mapping[str, Any] = error if isinstance(error, dict) else {"message": error}
    named = {key.lower().strip("_"): value for key, value in fields.items() if value}
    text = next((str(named[key]) for key in ("message", "detail", "msg") if key in named), json.dumps(error))
    kinds = [str(named[key]) for key in ("code", "status", "status_code", "type", "error_code") if key in named]
    message = message_of(who, f"the response reports an error: {' '.join([*kinds, quoted(text)])}")
    status = next((int(kind) for kind in kinds if re.fullmatch("[45][0-9]{2}", kind)), None)
    if status is not None:
        return http_failure(message, status, headers)
    names = [kind for kind in kinds if kind != "error" and not kind.isdecimal()]
    kind = " ".join(names or [text]).lower().replace(" ", "_")
    if _FINAL.search(kind) and not _AWAY.search(kind):
        return JudgeError(message)
    return TransientJudgeError(message, _wait_asked(headers))


def message_of(who: str, text: str) -> str:
    """Return an error's message: who failed, and the beginning of what was said in one line, without secrets."""
    text = masked(text[:LONGEST_READ].partition(_REQUEST)[0])
    return f"{who}: {' '.join(text.split())[:LONGEST_MESSAGE]}"


def _links(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from, each once: outermost first, as a traceback does."""
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:  # `raise error from error` makes a circle
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _answer(error: BaseException) -> tuple[int | None, Mapping[str, str]]:
    """Return the status and the headers of the HTTP answer in an error; None and none without one."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        metadata = response.get("ResponseMetadata", {})
        return metadata.get("HTTPStatusCode"), metadata.get("HTTPHeaders", {})
    status = getattr(response, "status_code", None) or getattr(error, "status_code", None)
    return (status if isinstance(status, int) else None), getattr(response, "headers", None) or {}
