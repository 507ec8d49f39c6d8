"""The TracerProvider of this process: the app's, whenever it sets one, else one of qualitrace's own.

Under `qualitrace run` ours is made at the first span, so that nothing heavy is imported before the app: gevent and
eventlet have to replace `ssl` and `threading` before others import them.
"""

import os
import threading
from typing import TYPE_CHECKING, Any

import wrapt
from opentelemetry import trace as otel

from qualitrace.environment import say_unused
from qualitrace.quiet import logger, never_raises
from qualitrace.settings import Settings, unused_with_another_provider

if TYPE_CHECKING:
    from qualitrace.export import OwnTracerProvider, QualitraceSpanProcessor


class _State:
    """What runs in this process."""

    settings: Settings | None = None  # None: nothing is traced
    processor: "QualitraceSpanProcessor | None" = None
    own: "OwnTracerProvider | None" = None  # made once, as OpenTelemetry keeps a provider for ever
    hooked = False


_locks: dict[str, Any] = {}


def _lock() -> Any:
    """Return the lock, made at its first use: gevent replaces the class, and an older one would lock no greenlet."""
    return _locks.setdefault("provider", threading.RLock())  # reentrant: our provider is set while it is held


def start(settings: Settings, *, at_first_span: bool = False) -> None:
    """Take the spans of the app's provider from now on, of one that it sets later, or else of our own."""
    _hook()
    _State.settings = settings
    provider = otel.get_tracer_provider()
    if isinstance(provider, otel.ProxyTracerProvider):
        if not at_first_span:
            _provide()
    elif (own := _State.own) and provider is own:
        own.add_span_processor(_processor(settings))
    else:
        _replace(_beside(provider))


def stop() -> "QualitraceSpanProcessor | None":
    """Take no spans any more; return the processor, which may hold some."""
    processor, _State.processor, _State.settings = _State.processor, None, None
    if processor is not None:
        _let_go(processor)
    return processor


@never_raises
def _let_go(processor: "QualitraceSpanProcessor") -> None:
    """Take the processor from its provider, which has no function for it: each start brings another one."""
    for given in (_State.own, otel._TRACER_PROVIDER):  # pyright: ignore[reportPrivateUsage]
        active: Any = getattr(given, "_active_span_processor", None)
        if active is not None:
            with active._lock:
                active._span_processors = tuple(item for item in active._span_processors if item is not processor)


def processor() -> "QualitraceSpanProcessor | None":
    """Return the processor; None before the first span, and without tracing."""
    return _State.processor


def settings() -> Settings | None:
    """Return the settings; None while nothing is traced."""
    return _State.settings


def provided_processor() -> "QualitraceSpanProcessor | None":
    """Return the processor, before the first span, too; None without tracing."""
    if otel._TRACER_PROVIDER is None:  # pyright: ignore[reportPrivateUsage]
        _provide()
    return _State.processor


def _hook() -> None:
    if _State.hooked:
        return
    _State.hooked = True
    wrapt.wrap_function_wrapper(otel, "_set_tracer_provider", _set)
    real_tracer = otel.ProxyTracer._tracer.fget  # pyright: ignore

    def tracer(proxy: otel.ProxyTracer) -> otel.Tracer:
        if otel._TRACER_PROVIDER is None:  # pyright: ignore[reportPrivateUsage]
            _provide()
        return real_tracer(proxy)  # pyright: ignore

    otel.ProxyTracer._tracer = property(tracer)  # pyright: ignore


@never_raises
def _provide() -> None:
    """Set a provider of our own, at the first span of an app that has none."""
    with _lock():
        settings = _State.settings
        if settings is None or otel._TRACER_PROVIDER is not None:  # pyright: ignore[reportPrivateUsage]
            return
        otel.set_tracer_provider(_own(settings))
        say_unused()


def _own(settings: Settings) -> "OwnTracerProvider":
    """Return our provider, with our processor."""
    if _State.own is None:
        from qualitrace.export import OwnTracerProvider

        _State.own = OwnTracerProvider(settings)
        _State.own.add_span_processor(_processor(settings))
    return _State.own


def _processor(settings: Settings) -> "QualitraceSpanProcessor":
    if _State.processor is None:
        from qualitrace.export import QualitraceSpanProcessor

        _State.processor = QualitraceSpanProcessor(settings)
    return _State.processor


def _set(wrapped: Any, _: Any, args: Any, kwargs: Any) -> Any:
    """Stand in for OpenTelemetry's `_set_tracer_provider`, which refuses a second provider: the app's comes first."""
    given = kwargs.pop("tracer_provider") if "tracer_provider" in kwargs else args[0]
    rest = args[1:] if args else ()
    with _lock():
        current = otel._TRACER_PROVIDER  # pyright: ignore[reportPrivateUsage]
        ours = current is not None and current is _State.own
        if given is _State.own or (current is not None and not ours):
            return wrapped(given, *rest, **kwargs)
        provider = _beside(given)
        return _replace(provider) if ours else wrapped(provider, *rest, **kwargs)


def _replace(provider: Any) -> None:
    """Set another global provider, which OpenTelemetry has no function for."""
    current = otel._TRACER_PROVIDER  # pyright: ignore[reportPrivateUsage]
    if provider is not current:
        otel._TRACER_PROVIDER = provider  # pyright: ignore[reportPrivateUsage]
        if (own := _State.own) and current is own:
            own.step_aside(provider)


def _beside(given: Any) -> Any:
    """Return what is to be set in place of the app's provider so that its spans come here, too."""
    try:
        return given if _State.settings is None else _joined(given, _State.settings)
    except Exception:
        logger.warning("no traces: %s cannot be joined", type(given).__name__, exc_info=True)
        return given


def _joined(given: Any, settings: Settings) -> Any:
    if type(given) is otel.NoOpTracerProvider:
        return _own(settings)
    if hasattr(given, "add_span_processor"):
        given.add_span_processor(_processor(settings))
        name = getattr(getattr(given, "resource", None), "attributes", {}).get("service.name")
        if name and (unused := unused_with_another_provider(settings, name)):
            logger.warning("%s: the app's TracerProvider decides, whose service.name is %s", unused, name)
        return given
    from qualitrace.export import OwnTracerProvider
    from qualitrace.tee import SameIds, TeeTracerProvider

    ours = OwnTracerProvider(settings, SameIds())  # not that of before, whose tracers are to lead to the tee
    ours.add_span_processor(_processor(settings))
    return TeeTracerProvider(given, ours)


if hasattr(os, "register_at_fork"):  # not on Windows
    # It may have been held, at a fork, by a thread that the child does not have.
    os.register_at_fork(after_in_child=_locks.clear)
