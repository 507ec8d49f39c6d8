"""Sends feedback from a bounded queue in a thread of its own, so that the app never waits for the collector."""

import json
import os
import queue
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from qualitrace.quiet import SparseFilter, logger, never_raises
from qualitrace.redact import Redact

QUEUE_SIZE = 1000
ATTEMPTS = 6
LONGEST_WAIT_SECONDS = 30.0
_RETRYABLE = {408, 429, 502, 503, 504}

_log = logger.getChild("feedback")
_log.addFilter(SparseFilter())


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses a redirect: it would take the headers, a token among them, to another host, and the body nowhere."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Make no request of it."""


class FeedbackSender:
    """Posts each item as JSON until the collector answers, a few times at most.

    Over https the certificates are those that OpenTelemetry's exporter reads from the environment.

    Args:
        url: of the feedback door.
        headers: sent with each request.
        timeout: seconds for one request.
        redact: applied to the texts that a person wrote.

    Raises:
        OSError: a certificate cannot be read.
    """

    def __init__(self, url: str, headers: Mapping[str, str], timeout: float, redact: Redact | None = None) -> None:
        self._url = url
        self._headers = {**headers, "Content-Type": "application/json"}
        self._timeout = timeout
        self._redact = redact
        self._items: queue.Queue[dict[str, Any] | None] = queue.Queue()
        tls = urllib.request.HTTPSHandler(context=_certificates()) if url.startswith("https:") else None
        self._opener = urllib.request.build_opener(_NoRedirect, *filter(None, [tls]))
        self._trouble = ""
        self._closing = threading.Event()
        threading.Thread(target=self._run, name="qualitrace-feedback", daemon=True).start()

    def put(self, item: dict[str, Any]) -> None:
        """Queue an item; without room, or after `close`, it is dropped and told."""
        if self._closing.is_set():
            _log.warning("feedback is dropped: tracing was shut down")
        elif self._items.qsize() >= QUEUE_SIZE:
            _log.warning("feedback is dropped: %d wait for %s already", QUEUE_SIZE, self._url)
        else:
            self._items.put(item)

    def flush(self, timeout: float) -> bool:
        """Wait until everything queued was sent or given up, for at most `timeout` seconds; whether that came true."""
        with self._items.all_tasks_done:
            return self._items.all_tasks_done.wait_for(lambda: self._items.unfinished_tasks == 0, max(0.0, timeout))

    def close(self, timeout: float) -> None:
        """Send what is queued, each item once more, for at most `timeout` seconds; nothing is taken after."""
        if not self._closing.is_set():
            self._closing.set()
            self._items.put(None)
        self.flush(timeout)

    def _run(self) -> None:
        while (item := self._items.get()) is not None:
            self._send(item)
            self._items.task_done()
        self._items.task_done()

    @never_raises
    def _send(self, item: dict[str, Any]) -> None:
        if self._redact is not None:
            texts = {key: item[key] for key in ("comment", "value") if isinstance(item[key], str)}
            item = item | {key: self._redact(text) for key, text in texts.items()}
        for attempt in range(ATTEMPTS):
            wait = self._post(item, 2.0**attempt)
            if wait is None:
                return
            if self._closing.is_set():
                break
            self._closing.wait(min(wait, LONGEST_WAIT_SECONDS))
        _log.warning("feedback is dropped: %s does not take it: %s", self._url, self._trouble)

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
            self._trouble = str(error)
            asked = error.headers.get("Retry-After", "")
            return float(asked) if asked.isdecimal() else backoff
        except OSError as error:
            self._trouble = str(error)
            return backoff


def _certificates() -> ssl.SSLContext:
    """Trust, and show, what OpenTelemetry's variables name: `OTEL_EXPORTER_OTLP_[TRACES_]CERTIFICATE` and so on."""

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


def remaining(deadline: float) -> float:
    """Return the seconds until `deadline` of the monotonic clock, at least 0."""
    return max(0.0, deadline - time.monotonic())
