"""`@trace`: a span for every call of a function, coroutine, generator or async generator."""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar, overload

from qualitrace.quiet import never_raises
from qualitrace.serialize import LIMIT, MAX_ITEMS
from qualitrace.spans import KINDS, Kind, Recording, unknown_kind

P = ParamSpec("P")
R = TypeVar("R")


@overload
def trace(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def trace(*, name: str | None = None, kind: Kind = "chain") -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def trace(function: Any = None, /, *, name: str | None = None, kind: Kind = "chain") -> Any:
    """Trace every call of a function: its inputs, its output, its error.

    One argument is recorded as its value, several as a mapping from name to value. The output of a generator is
    its joined text, or the list of the values that it yielded; its span ends when it is exhausted or closed.

    Args:
        function: the function, when used without arguments.
        name: of the span, by default the function's qualified name.
        kind: chain, retriever, tool or agent.

    Raises:
        ValueError: the kind is unknown.
        TypeError: the decorated object is not a function.
    """
    # A decorator runs at import, where an error is seen at once. `span()` only warns about an unknown kind: it may
    # stand in a branch that runs once a year, in production.
    if kind not in KINDS:
        raise ValueError(unknown_kind(kind))
    decorate = functools.partial(_decorate, name=name, kind=kind)
    return decorate if function is None else decorate(function)


def _decorate(function: Any, name: str | None, kind: str) -> Any:
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(_decorate(function.__func__, name, kind))
    if not callable(function) or inspect.isclass(function):
        raise TypeError(f"@qualitrace.trace decorates functions and methods, not {function!r}")
    begin = _Beginning(function, name, kind)
    if inspect.isasyncgenfunction(function):
        return _traced_async_generator(function, begin)
    if inspect.isgeneratorfunction(function):
        return _traced_generator(function, begin)
    if inspect.iscoroutinefunction(function):
        return _traced_coroutine(function, begin)
    return _traced_function(function, begin)


class _Beginning:
    """Begins the recording of a call."""

    def __init__(self, function: Callable[..., Any], name: str | None, kind: str) -> None:
        self._name = name or getattr(function, "__qualname__", type(function).__name__)
        self._name = self._name.rpartition("<locals>.")[2]
        self._kind = kind
        self._signature = inspect.signature(function)

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recording:
        recording = Recording(self._name, self._kind)
        self._record_inputs(recording, args, kwargs)
        return recording

    def stream(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "_Stream":
        """Begin the recording of a generator."""
        return _Stream(self(args, kwargs), self._kind)

    @never_raises
    def _record_inputs(self, recording: Recording, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            arguments = dict(self._signature.bind(*args, **kwargs).arguments)
        except TypeError:
            return  # the call itself raises it, too, and shows the app where
        if (first := next(iter(arguments), None)) in ("self", "cls"):
            del arguments[first]
        one = len(arguments) == 1 and self._kind != "tool"  # readers of a tool's arguments expect a mapping
        recording.span.set_inputs(next(iter(arguments.values())) if one else arguments)


def _traced_function(function: Callable[..., Any], begin: _Beginning) -> Any:
    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        recording = begin(args, kwargs)
        with recording.lifetime(), recording.current():
            result = function(*args, **kwargs)
            recording.span.set_outputs(result)
            return result

    return traced


def _traced_coroutine(function: Callable[..., Any], begin: _Beginning) -> Any:
    @functools.wraps(function)
    async def traced(*args: Any, **kwargs: Any) -> Any:
        recording = begin(args, kwargs)
        with recording.lifetime(), recording.current():
            result = await function(*args, **kwargs)
            recording.span.set_outputs(result)
            return result

    return traced


class _Stream:
    """The recording of a generator. It keeps as much of the yielded values as an attribute can hold."""

    def __init__(self, recording: Recording, kind: str) -> None:
        self._recording = recording
        self._joins = kind != "retriever"
        self._chunks: list[Any] = []
        self._left = LIMIT
        self.current = recording.current

    def add(self, chunk: Any) -> None:
        if self._left > 0 and len(self._chunks) <= (LIMIT if isinstance(chunk, str) else MAX_ITEMS):
            self._chunks.append(chunk)
            self._left -= len(chunk) if isinstance(chunk, str) else 0

    @contextmanager
    def lifetime(self) -> Generator[None]:
        """End the span with the block; its output is the joined text if all chunks are text."""
        with self._recording.lifetime():
            try:
                yield
            finally:
                is_text = self._joins and self._chunks and all(isinstance(c, str) for c in self._chunks)
                self._recording.span.set_outputs("".join(self._chunks) if is_text else self._chunks)


def _traced_generator(function: Callable[..., Any], begin: _Beginning) -> Any:
    """Drive the generator of `function` as `yield from` does; the span is current in its steps only."""

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        stream, inner = begin.stream(args, kwargs), function(*args, **kwargs)
        resume, sent = inner.send, None
        with stream.lifetime():
            while True:
                try:
                    with stream.current():
                        chunk = resume(sent)
                except StopIteration as stop:
                    return stop.value
                stream.add(chunk)
                try:
                    resume, sent = inner.send, (yield chunk)
                except GeneratorExit:
                    with stream.current():
                        inner.close()
                    raise
                except BaseException as error:
                    resume, sent = inner.throw, error

    return traced


def _traced_async_generator(function: Callable[..., Any], begin: _Beginning) -> Any:
    """Drive the async generator of `function`; the span is current in its steps only."""

    @functools.wraps(function)
    async def traced(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        stream, inner = begin.stream(args, kwargs), function(*args, **kwargs)
        resume, sent = inner.asend, None
        with stream.lifetime():
            while True:
                try:
                    with stream.current():
                        chunk = await resume(sent)
                except StopAsyncIteration:
                    return
                stream.add(chunk)
                try:
                    resume, sent = inner.asend, (yield chunk)
                except GeneratorExit:
                    with stream.current():
                        await inner.aclose()
                    raise
                except BaseException as error:
                    resume, sent = inner.athrow, error

    return traced
