"""A provider that is no SDK's, such as Datadog's: each span is made there and in ours, with the same ids."""

from contextvars import ContextVar
from typing import Any

import wrapt
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import SpanContext, StatusCode
from opentelemetry.util._decorator import _agnosticcontextmanager  # pyright: ignore[reportPrivateUsage]

_ids: ContextVar[SpanContext | None] = ContextVar("qualitrace_ids", default=None)


class SameIds(IdGenerator):
    """Gives a span the ids that it has elsewhere; without any, random ones."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        """Return the id for a new trace."""
        return found.trace_id if (found := _ids.get()) else self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        """Return the id for a new span."""
        return found.span_id if (found := _ids.get()) else self._random.generate_span_id()


class TeeTracerProvider(otel.TracerProvider):
    """Makes each span by two providers. The app sees the spans of the first one.

    Args:
        theirs: the app's provider.
        ours: one whose ids are `SameIds`.
    """

    def __init__(self, theirs: otel.TracerProvider, ours: TracerProvider) -> None:
        self._theirs = theirs
        self._ours = ours

    def get_tracer(self, *args: Any, **kwargs: Any) -> otel.Tracer:
        """Return a tracer of both providers."""
        return _TeeTracer(self._theirs.get_tracer(*args, **kwargs), self._ours.get_tracer(*args, **kwargs))

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Give the spans to another processor."""
        self._ours.add_span_processor(span_processor)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._theirs, name)


class _TeeTracer(otel.Tracer):
    def __init__(self, theirs: otel.Tracer, ours: otel.Tracer) -> None:
        self._theirs = theirs
        self._ours = ours

    def start_span(self, *args: Any, **kwargs: Any) -> otel.Span:
        theirs = self._theirs.start_span(*args, **kwargs)
        context = theirs.get_span_context()
        token = _ids.set(context if theirs.is_recording() and context.is_valid else None)
        try:
            ours = self._ours.start_span(*args, **kwargs)
        finally:
            _ids.reset(token)
        return _TeeSpan(theirs, ours)  # pyright: ignore[reportReturnType]  # isinstance says that it is one

    @_agnosticcontextmanager
    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        options = {name: kwargs[name] for name in ("record_exception", "set_status_on_exception") if name in kwargs}
        end_on_exit = kwargs.pop("end_on_exit", True)
        with otel.use_span(self.start_span(*args, **kwargs), end_on_exit=end_on_exit, **options) as span:
            yield span


class _TeeSpan(wrapt.ObjectProxy):  # pyright: ignore[reportMissingTypeArgument]  # wrapt 1 has none
    """The app's span, whose changes ours gets, too."""

    def __init__(self, theirs: otel.Span, ours: otel.Span) -> None:
        super().__init__(theirs)
        self._self_ours = ours

    def is_recording(self) -> bool:
        return self.__wrapped__.is_recording() or self._self_ours.is_recording()

    def __enter__(self) -> "_TeeSpan":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is not None and self.is_recording():
            self.record_exception(error)
            self.set_status(StatusCode.ERROR, f"{type(error).__name__}: {error}")
        self.end()


def _both(name: str) -> Any:
    def method(self: _TeeSpan, *args: Any, **kwargs: Any) -> None:
        getattr(self.__wrapped__, name)(*args, **kwargs)
        getattr(self._self_ours, name)(*args, **kwargs)  # pyright: ignore[reportPrivateUsage]

    return method


for _name in (
    "set_attribute",
    "set_attributes",
    "add_event",
    "add_link",
    "update_name",
    "set_status",
    "record_exception",
    "end",
):
    setattr(_TeeSpan, _name, _both(_name))
