"""Start and end of tracing: `init`, `flush`, `shutdown`, and what happens at exit and on SIGTERM."""

import atexit
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from opentelemetry import trace as otel

from qualitrace.content import capture_content
from qualitrace.instruments import instrument as instrument_libraries
from qualitrace.quiet import logger, never_raises
from qualitrace.redact import Redact
from qualitrace.sender import FeedbackSender, remaining
from qualitrace.settings import Settings, resolve
from qualitrace.values import FEEDBACK_PATH, TRACES_PATH

if TYPE_CHECKING:
    from qualitrace.processor import QualitraceSpanProcessor

SHUTDOWN_SECONDS = 2.0
"""For what is queued at exit; with the interpreter's own end it stays under 3 s on a busy machine too."""


class _State:
    """What runs in this process."""

    processor: "QualitraceSpanProcessor | None" = None
    settings: Settings | None = None
    sender: FeedbackSender | None = None
    lock = threading.RLock()  # the signal handler may interrupt the thread that holds it


def init(
    *,
    service_name: str | None = None,
    endpoint: str | None = None,
    headers: Mapping[str, str] | None = None,
    enabled: bool | None = None,
    capture_content: bool | None = None,
    redact: Sequence[str] | Redact | None = None,
    environment: str | None = None,
    sample_ratio: float | None = None,
    schedule_delay: float | None = None,
    queue_size: int | None = None,
    export_timeout: float | None = None,
    instrument: tuple[str, ...] | list[str] | None = None,
) -> None:
    """Start tracing: OpenAI, Anthropic, LangChain and web frameworks, exported by OTLP/HTTP. Never raises.

    Call it before the app imports its web framework. A keyword left out is taken from `QUALITRACE_<NAME>`,
    then from OpenTelemetry's variable, then from the default; a bad value is warned about and its default
    used. If the app has set a TracerProvider of the SDK, the spans are taken from that one. A second call
    does nothing but warn.

    Args:
        service_name: `service.name`; by default the script's name.
        endpoint: the collector's base URL, `/v1/traces` is appended (default http://127.0.0.1:4318).
        headers: sent with each export, for example an API key.
        enabled: False turns everything off.
        capture_content: False leaves prompts, answers, arguments and documents out (default True).
        redact: names of patterns, regular expressions between slashes, or a function from text to text, applied to
            all texts of a span before they leave the process. With one that cannot be used no text leaves.
        environment: `deployment.environment.name`.
        sample_ratio: share of the traces to export, 0 to 1 (default 1).
        schedule_delay: seconds between two exports (default 0.5).
        queue_size: ended spans to hold, the oldest is dropped beyond (default 2048).
        export_timeout: seconds for one export, retries included (default 10).
        instrument: the libraries to trace (default all of `openai`, `anthropic`, `langchain`, `starlette`,
            `fastapi`, `flask`).
    """
    _init(locals())


@never_raises
def _init(keywords: Mapping[str, Any]) -> None:
    settings = resolve(keywords)
    _State.settings = settings
    if not settings.enabled:
        return
    with _State.lock:
        if _State.processor is not None:
            logger.warning("qualitrace.init() was called before: the second call does nothing")
            return
        _State.processor = _attach(settings)
        if _State.processor is None:
            return
    capture_content(settings.capture_content)
    instrument_libraries(settings.instrument)
    atexit.register(shutdown)
    _flush_on_sigterm()


def _attach(settings: Settings) -> "QualitraceSpanProcessor | None":
    """Add our span processor to the app's TracerProvider, or to one made and set here.

    The SDK and the exporter are imported here, so that `import qualitrace` stays quick.
    """
    from qualitrace.processor import QualitraceSpanProcessor
    from qualitrace.provider import make_provider

    provider: Any = otel.get_tracer_provider()
    if isinstance(provider, otel.ProxyTracerProvider):
        provider = make_provider(settings)
        otel.set_tracer_provider(provider)
    if not hasattr(provider, "add_span_processor"):
        logger.warning("no traces: the app's %s takes no span processor", type(provider).__name__)
        return None
    processor = QualitraceSpanProcessor(settings)
    provider.add_span_processor(processor)
    return processor


def current_settings() -> Settings:
    """Return the settings of `init`; without it, those of the environment."""
    with _State.lock:
        _State.settings = _State.settings or resolve({})
        return _State.settings


def feedback_sender() -> FeedbackSender | None:
    """Return what sends feedback, started at first use; None if everything is turned off."""
    with _State.lock:
        settings = current_settings()
        if _State.sender is None and settings.enabled:
            url = settings.endpoint.removesuffix(TRACES_PATH) + FEEDBACK_PATH
            _State.sender = FeedbackSender(url, settings.headers or {}, settings.export_timeout, settings.redact)
            atexit.register(shutdown)
        return _State.sender


def _forget_sender() -> None:
    """A forked child has no thread that sends: it gets a sender of its own at first use."""
    _State.lock, _State.sender = threading.RLock(), None


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_sender)


def flush(timeout: float = 3.0) -> bool:
    """Export what is queued, within `timeout` seconds. Never raises.

    Returns:
        True if everything that was queued, feedback too, is sent or given up (or nothing was to do).
    """
    deadline = time.monotonic() + timeout
    processor, sender = _State.processor, _State.sender
    exported = processor is None or bool(_flush(processor, timeout))
    return (sender is None or sender.flush(remaining(deadline))) and exported


@never_raises
def _flush(processor: "QualitraceSpanProcessor", timeout: float) -> bool:
    return processor.force_flush(int(timeout * 1000))


@never_raises
def shutdown() -> None:
    """Export what is queued within 3 seconds and stop; `init` may follow. Never raises; safe twice."""
    deadline = time.monotonic() + SHUTDOWN_SECONDS
    with _State.lock:
        processor, _State.processor = _State.processor, None
        sender, _State.sender = _State.sender, None
        _State.settings = None
    atexit.unregister(shutdown)
    if processor is not None:
        processor.shutdown()
    if sender is not None:
        sender.close(remaining(deadline))


@never_raises
def _flush_on_sigterm() -> None:
    """SIGTERM skips `atexit`; an app that handles it by itself is left alone."""
    if threading.current_thread() is threading.main_thread() and (signal.getsignal(signal.SIGTERM) is signal.SIG_DFL):
        signal.signal(signal.SIGTERM, _die_flushed)


def _die_flushed(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second signal kills at once
    shutdown()
    os.kill(os.getpid(), number)
