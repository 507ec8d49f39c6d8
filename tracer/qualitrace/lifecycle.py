"""Start and end of tracing: `init`, `flush`, `shutdown`, also when the process ends, and `status` in between."""

import atexit
import os
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from qualitrace import provider
from qualitrace.content import capture_content
from qualitrace.delivery import Delivery
from qualitrace.ending import before_every_end, signals_wait
from qualitrace.environment import repair, sdk_is_disabled
from qualitrace.feedback import close_feedback, flush_feedback
from qualitrace.libraries.table import default_libraries
from qualitrace.propagation import clients
from qualitrace.quiet import SHUTDOWN_SECONDS, logger, never_raises
from qualitrace.redaction.redactor import Redact
from qualitrace.settings import resolve, use_settings

if TYPE_CHECKING:
    from qualitrace.export import QualitraceSpanProcessor
    from qualitrace.exporter import SpanReader


class _State:
    """What runs in this process."""

    started = False
    recording = 0  # how many blocks of tests record the spans
    lock = threading.RLock()  # reentrant: the signal handler may interrupt the thread that holds it


def init(
    *,
    service_name: str | None = None,
    endpoint: str | None = None,
    headers: Mapping[str, str] | None = None,
    enabled: bool | None = None,
    capture: Literal["full", "redacted", "none"] | None = None,
    redact: Sequence[str | Redact] | str | Redact | None = None,
    environment: str | None = None,
    console: bool | Literal["only"] | None = None,
    sample_ratio: float | None = None,
    schedule_delay: float | None = None,
    queue_size: int | None = None,
    export_timeout: float | None = None,
    instrument: Sequence[str] | None = None,
    propagate: bool | None = None,
    baggage_hosts: Sequence[str] | str | None = None,
    follow_caller_sampling: bool | None = None,
) -> None:
    """Start tracing: the libraries that the app imports, and its own spans, exported by OTLP/HTTP. Never raises.

    Call it before the app imports its web framework. A keyword left out is taken from `QUALITRACE_<NAME>`,
    then from OpenTelemetry's variable, then from the default; a bad value causes a warning, and its default is
    used. If the app sets a TracerProvider, before or later, the spans come from that one. A second call only warns.

    >>> qualitrace.init(service_name="shop", endpoint="http://127.0.0.1:4318")

    Args:
        service_name: `service.name`; by default the script's name.
        endpoint: the collector's base URL, `/v1/traces` is appended (default http://127.0.0.1:4318).
        headers: sent with each export, for example an API key.
        enabled: False turns everything off.
        capture: what is recorded of prompts, answers, arguments and documents. `redacted` (the default) replaces
            passwords, keys and tokens, and what `redact` names; `full` records them as they are, `none` not at all.
        redact: names of patterns, regular expressions between slashes, and functions from text to text, applied to
            all texts of spans and feedback before they leave the process. With one that cannot be used no text leaves.
        environment: `deployment.environment.name`.
        console: True prints each trace as a tree to stderr, `only` prints it and sends nothing.
        sample_ratio: share of the traces to export, 0 to 1 (default 1).
        schedule_delay: seconds between two exports (default 0.5).
        queue_size: ended spans to hold, the oldest is dropped beyond (default 2048).
        export_timeout: seconds for one export, retries included (default 10).
        instrument: the libraries to trace, or changes of the default list such as `["-openai", "+httpx"]`; by default
            all that `qualitrace bootstrap` lists as traced by default.
        propagate: whether requests of HTTP clients carry the trace to the next service (default True).
        baggage_hosts: the hosts that also get session, user, prompt version and environment, such as
            `["orders.internal", "*.shop.internal", "127.0.0.1:8000"]` (default none).
        follow_caller_sampling: True lets the `sampled` flag of a calling service decide on its requests (default
            False: `sample_ratio` decides).
    """
    _init(locals())


@never_raises
def init_at_first_span() -> None:
    """Do what `init` does with the settings of the environment, but import the SDK at the first span only."""
    _start({}, at_first_span=True)


@never_raises
def _init(keywords: Mapping[str, Any]) -> None:
    _start(keywords, at_first_span=False)


@contextmanager
def recording(reader: "SpanReader", keywords: Mapping[str, Any]) -> Generator[Callable[[], object]]:
    """Give the spans of the block to `reader` instead of the collector; start tracing for it if it does not run.

    `init` and `shutdown` do nothing in the block: an app calls them where it starts and stops, in its tests, too.
    Returns what hands over the spans that have ended.

    Raises:
        RuntimeError: tracing is switched off, or runs already and `keywords` were given.
    """
    runs = _State.started
    if runs and keywords:
        raise RuntimeError(f"tracing runs already, with settings of its own: {', '.join(keywords)} cannot be changed")
    if not runs:
        given: dict[str, Any] = {"service_name": "tests", "sample_ratio": 1.0, "enabled": True, **keywords}
        _start(given, at_first_span=False, until_the_end=False)
    try:
        processor = provider.provided_processor()
        if processor is None or sdk_is_disabled():
            raise RuntimeError("no spans are made: is OTEL_SDK_DISABLED set?")
        with processor.diverted(reader):
            _State.recording += 1
            try:
                yield processor.force_flush
            finally:
                _State.recording -= 1
    finally:
        if not runs:
            shutdown()


def _start(keywords: Mapping[str, Any], *, at_first_span: bool, until_the_end: bool = True) -> None:
    if _State.recording:
        return
    settings = resolve(keywords)
    use_settings(settings)
    if not settings.enabled:
        return
    with _State.lock:
        if _State.started:
            logger.warning("qualitrace.init() was called before: the second call does nothing")
            return
        repair()
        provider.start(settings, at_first_span=at_first_span)
        _State.started = True
    capture_content(settings.capture != "none")
    from qualitrace.libraries.start import trace_libraries  # parses version specifiers, which takes time to import

    chosen = default_libraries() if settings.instrument is None else settings.instrument
    clients.start(chosen)
    trace_libraries(chosen)
    if until_the_end:
        before_every_end(shutdown, _flush_before_exec)


def flush(timeout: float = 3.0) -> bool:
    """Export what is queued, within `timeout` seconds. Never raises.

    >>> with qualitrace.span("answer"):
    ...     pass
    >>> qualitrace.flush()
    True

    Returns:
        True if everything that was queued, feedback too, was sent or given up in that time.
    """
    deadline = time.monotonic() + timeout
    processor = provider.processor()
    exported = processor is None or bool(_flush(processor, timeout))
    return flush_feedback(deadline - time.monotonic()) and exported


@never_raises
def _flush(processor: "QualitraceSpanProcessor", timeout: float) -> bool:
    return processor.force_flush(int(timeout * 1000))


def _flush_before_exec() -> None:
    processor = provider.processor()
    if processor is not None:
        processor.load()
    if not flush(SHUTDOWN_SECONDS) and processor is not None:
        processor.say_losses()


@never_raises
def shutdown() -> None:
    """Export what is queued within 3 seconds and stop; `init` may follow. Never raises; safe twice.

    >>> qualitrace.shutdown()
    """
    if _State.recording:
        return
    with signals_wait():
        with _State.lock:
            processor, _State.started = provider.stop(), False
            use_settings(None)
        if processor is not None:
            processor.load()
        deadline = time.monotonic() + SHUTDOWN_SECONDS
        if processor is not None:
            processor.shutdown()
        close_feedback(deadline - time.monotonic())


def status() -> Delivery:
    """Return what became of the spans of this process: sent, refused, dropped (and why) or waiting. Never raises.

    >>> with qualitrace.span("answer"):
    ...     pass
    >>> qualitrace.flush()
    True
    >>> (qualitrace.status().sent, qualitrace.status().waiting)
    (1, 0)
    """
    processor = provider.processor()
    return (processor and _status(processor)) or Delivery()


@never_raises
def _status(processor: "QualitraceSpanProcessor") -> Delivery:
    return processor.status()


def _renew_lock() -> None:
    """The lock may have been held, at a fork, by a thread that the child does not have."""
    _State.lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_lock)

# At import, not in `init`: feedback is sent without `init`, too. Without either there is nothing to do at exit.
atexit.register(shutdown)
