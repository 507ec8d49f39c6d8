"""`feedback`: what a person says of an answer, sent to the collector from this process or any other.

It does not travel on spans: when somebody has an opinion the trace is over, and often another process holds it.
"""

import json
import math
import os
import queue
import reprlib
import ssl
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from enum import Enum
from http.client import HTTPException
from typing import Any, Literal

from qualitrace.quiet import SparseFilter, logger, never_raises
from qualitrace.redaction.feedback_copy import redacted_feedback
from qualitrace.redaction.redactor import Redactor
from qualitrace.settings import CONSOLE_ONLY, TRACES_PATH, current_settings

FEEDBACK_PATH = "/v1/feedback"
QUEUE_SIZE = 1000
ATTEMPTS = 6
LONGEST_WAIT_SECONDS = 30.0
_RETRYABLE = {408, 429, 502, 503, 504}

_log = logger.getChild("feedback")
_log.addFilter(SparseFilter())


@never_raises
def feedback(
    trace_id: str,
    name: str,
    value: bool | float | str,
    comment: str | None = None,
    *,
    source: Literal["user", "expert"] = "user",
    user: str | None = None,
    feedback_id: str | None = None,
) -> None:
    """Send a person's opinion of a trace to the collector, in the background. Never raises, never waits.

    It works without `init`, too, with endpoint and headers from the environment.

    >>> with qualitrace.span("answer"):
    ...     trace_id = qualitrace.current_trace_id()
    >>> qualitrace.feedback(trace_id, "thumb", False, "It named the wrong year.", user="ada")

    Args:
        trace_id: what `current_trace_id()` returned.
        name: of the assessment in MLflow: `thumb`, or a judge's name for a label that calibrates it.
        value: True or False, a number, or a word such as `pass`. False, 0 and less, and `fail` are negative.
        comment: the person's words.
        source: `user` for an end user, `expert` for a label that judges are calibrated by.
        user: who it is.
        feedback_id: give the same id to send the same opinion again (default: a new one).
    """
    plain = _plain(value)
    if not isinstance(plain, (bool, int, float, str)) or (isinstance(plain, float) and not math.isfinite(plain)):
        logger.warning("feedback %r is dropped: its value is %s", name, reprlib.repr(plain))
        return
    texts = {"trace_id": trace_id, "name": name, "comment": comment, "source": source, "user": user}
    item: dict[str, Any] = {key: text if text is None else str(text) for key, text in texts.items()}
    item |= {"value": plain, "id": str(feedback_id or uuid.uuid4().hex)}
    if _Process.keep is not None:
        _Process.keep(item)
    elif (sender := _running_sender()) is not None:
        sender.put(item)


def _plain(value: Any) -> Any:
    """Return a number of NumPy, or a member of an enumeration, as JSON can hold it."""
    if isinstance(value, Enum):
        return value.value
    item = getattr(value, "item", None)
    return item() if callable(item) else value


class FeedbackSender:
    """Posts each item as JSON, in a thread of its own, until the collector answers or `ATTEMPTS` have failed.

    Over https it uses the certificates that OpenTelemetry's exporter reads from the environment.

    Args:
        url: of the collector's feedback door.
        headers: sent with each request.
        timeout: seconds for one request.
        redact: applied to all but the trace's id.

    Raises:
        OSError: a certificate cannot be read.
    """

    def __init__(self, url: str, headers: Mapping[str, str], timeout: float, redact: Redactor | None = None) -> None:
        self._url = url
        self._headers = {**headers, "Content-Type": "application/json"}
        self._timeout = timeout
        self._redact = redact
        self._items: queue.Queue[dict[str, Any] | None] = queue.Queue()
        tls = urllib.request.HTTPSHandler(context=_certificates()) if url.startswith("https:") else None
        self._opener = urllib.request.build_opener(_NoRedirect, *filter(None, [tls]))
        self._last_failure = ""
        self._closing = threading.Event()
        threading.Thread(target=self._run, name="qualitrace-feedback", daemon=True).start()

    def put(self, item: dict[str, Any]) -> None:
        """Queue an item; if there is no room, or after `close`, drop it with a warning."""
        if self._closing.is_set():
            _log.warning("feedback is dropped: tracing was shut down")
        elif self._items.qsize() >= QUEUE_SIZE:
            _log.warning("feedback is dropped: %d wait for %s already", QUEUE_SIZE, self._url)
        else:
            self._items.put(item)

    def flush(self, timeout: float) -> bool:
        """Wait until every queued item was sent or given up; return False if that takes more than `timeout` seconds."""
        with self._items.all_tasks_done:
            return self._items.all_tasks_done.wait_for(lambda: self._items.unfinished_tasks == 0, max(0.0, timeout))

    def close(self, timeout: float) -> None:
        """Try each queued item once more, for at most `timeout` seconds; take no more of them."""
        if not self._closing.is_set():
            self._closing.set()
            self._items.put(None)
        if not self.flush(timeout):
            waiting = self._items.unfinished_tasks - 1  # the last one only ends the thread
            logger.warning("%d feedbacks are lost: %s did not take them within %g s", waiting, self._url, timeout)

    def _run(self) -> None:
        while (item := self._items.get()) is not None:
            self._send(item)
            self._items.task_done()
        self._items.task_done()

    @never_raises
    def _send(self, item: dict[str, Any]) -> None:
        if self._redact is not None:
            item = redacted_feedback(self._redact, item)
        for attempt in range(ATTEMPTS):
            wait = self._post(item, 2.0**attempt)
            if wait is None:
                return
            if self._closing.is_set():
                break
            # No library's retry here: `close` must be able to end the wait, and the app would have to import it.
            self._closing.wait(min(wait, LONGEST_WAIT_SECONDS))
        _log.warning("feedback is dropped: %s does not take it: %s", self._url, self._last_failure)

    def _post(self, item: dict[str, Any], backoff: float) -> float | None:
        """Send once; return the seconds to wait before another try, None if there is to be none."""
        request = urllib.request.Request(self._url, json.dumps(item).encode(), self._headers)  # noqa: S310  # http(s)
        try:
            with self._opener.open(request, timeout=self._timeout):
                return None
        except urllib.error.HTTPError as error:
            with error:
                if error.code not in _RETRYABLE:
                    _log.warning("feedback is refused: %d %s", error.code, _reason(error))
                    return None
            self._last_failure = str(error)
            asked = error.headers.get("Retry-After", "")
            return float(asked) if asked.isdecimal() else backoff
        except (OSError, HTTPException) as error:  # the latter: no HTTP, or half an answer
            self._last_failure = str(error) or type(error).__name__
            return backoff


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would send the headers, a token among them, to another host, and the body nowhere."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Make no request of it."""


def _certificates() -> ssl.SSLContext:
    """Use what OpenTelemetry's variables name, for example `OTEL_EXPORTER_OTLP_[TRACES_]CERTIFICATE`."""

    def named(what: str) -> str | None:
        prefix = "OTEL_EXPORTER_OTLP_"
        return os.environ.get(f"{prefix}TRACES_{what}") or os.environ.get(f"{prefix}{what}") or None

    context = ssl.create_default_context(cafile=named("CERTIFICATE"))
    if certificate := named("CLIENT_CERTIFICATE"):
        context.load_cert_chain(certificate, named("CLIENT_KEY"))
    return context


def _reason(error: urllib.error.HTTPError) -> str:
    if place := error.headers.get("Location"):
        return f"(moved to {place}; redirects are not followed, set the endpoint)"
    return error.read(500).decode(errors="replace")


class _Process:
    """The sender of this process."""

    sender: FeedbackSender | None = None
    keep: Callable[[dict[str, Any]], None] | None = None  # takes the sender's place
    lock = threading.RLock()  # reentrant: a signal handler may interrupt the thread that holds it


def _running_sender() -> FeedbackSender | None:
    """Return the sender, which is started at its first use; None if nothing is sent."""
    with _Process.lock:
        settings = current_settings()
        if settings.console == CONSOLE_ONLY:
            _log.warning("feedback is not sent: console=%s", CONSOLE_ONLY)
            return None
        if _Process.sender is None and settings.enabled:
            url = settings.endpoint.removesuffix(TRACES_PATH) + FEEDBACK_PATH
            _Process.sender = FeedbackSender(url, settings.headers or {}, settings.export_timeout, settings.redactor)
        return _Process.sender


@contextmanager
def diverted_feedback(keep: Callable[[dict[str, Any]], None]) -> Generator[None]:
    """Give the feedback of the block to `keep`, and send none of it."""
    outer, _Process.keep = _Process.keep, keep
    try:
        yield
    finally:
        _Process.keep = outer


def flush_feedback(timeout: float) -> bool:
    """Wait until all feedback is sent or given up; return False if that takes more than `timeout` seconds."""
    sender = _Process.sender
    return sender is None or sender.flush(timeout)


def close_feedback(timeout: float) -> None:
    """Send what is queued, for at most `timeout` seconds, and end the sender; later feedback starts another one."""
    with _Process.lock:
        sender, _Process.sender = _Process.sender, None
    if sender is not None:
        sender.close(timeout)


def _forget_sender() -> None:
    """A forked child has no thread that sends: it gets a sender of its own at its first feedback."""
    _Process.lock, _Process.sender = threading.RLock(), None


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_sender)
