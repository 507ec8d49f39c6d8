"""`@trace`: a span for every call of a function, coroutine, generator or async generator, or of a class's methods."""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar, overload

from qualitrace.quiet import never_raises
from qualitrace.serialize import LIMIT, MAX_ITEMS
from qualitrace.spans import KINDS, Kind, Recording, unknown_kind

F = TypeVar("F", bound=Callable[..., Any])

# Marks what is traced. `functools.wraps` of other decorators hands it on, so that a method is not traced twice.
_TRACED = "__qualitrace_traced__"


@overload
def trace(function: F, /) -> F: ...
@overload
def trace(*, name: str | None = None, kind: Kind = "chain") -> Callable[[F], F]: ...
def trace(function: Any = None, /, *, name: str | None = None, kind: Kind = "chain") -> Any:
    """Trace every call of a function: its inputs, its output, its error.

    One argument is recorded as its value, several as a mapping from name to value. The output of a generator is
    its joined text, or the list of the values that it yielded; its span ends when it is exhausted or closed.

    >>> @qualitrace.trace(kind="retriever")
    ... def search(query: str) -> list[str]:
    ...     return ["We ship to France."]
    >>> search("Do you ship to France?")
    ['We ship to France.']

    On a class it traces the methods that the class itself defines, also class methods and static methods, but for
    names that begin with an underscore. `__call__` is traced. Properties, nested classes and inherited methods are
    not. A method that has a decorator of its own keeps that one's kind and name.

    >>> @qualitrace.trace(kind="tool")
    ... class Shop:
    ...     def price(self, item: str) -> int:
    ...         return self._look_up(item)
    ...     def _look_up(self, item: str) -> int:
    ...         return 12
    >>> Shop().price("tent")
    12

    Args:
        function: the function or class, when used without arguments.
        name: of the span, by default the function's qualified name; of a class, what stands before the method's name.
        kind: chain, retriever, tool or agent.

    Raises:
        ValueError: the kind is unknown.
        TypeError: the decorated object is neither a function nor a class with public methods.
    """
    # A decorator runs at import, where an error is seen at once. `span()` only warns about an unknown kind: it may
    # stand in a branch that runs once a year, in production.
    if kind not in tuple(KINDS):
        raise ValueError(unknown_kind(kind))
    decorate = functools.partial(_decorate, name=name, kind=kind)
    return decorate if function is None else decorate(function)


def _decorate(function: Any, name: str | None, kind: str) -> Any:
    if inspect.isclass(function):
        return _decorate_methods(function, name, kind)
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(_decorate(function.__func__, name, kind))
    if not callable(function):
        raise TypeError(f"@qualitrace.trace decorates functions, methods and classes, not {function!r}")
    traced = _traced(function, name, kind)
    setattr(traced, _TRACED, True)
    return traced


def _decorate_methods(cls: type, name: str | None, kind: str) -> type:
    found = False
    for attribute, value in list(vars(cls).items()):
        # Functions alone: what another decorator made of one (a cache, a property) has attributes that a wrapper lacks.
        method = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        is_public = attribute == "__call__" or not attribute.startswith("_")
        if not is_public or not inspect.isfunction(method):
            continue
        found = True
        if not hasattr(method, _TRACED):
            setattr(cls, attribute, _decorate(value, name and f"{name}.{attribute}", kind))
    if not found:
        raise TypeError(f"@qualitrace.trace finds nothing to trace in {cls!r}: it defines no public methods itself")
    return cls


def _traced(function: Any, name: str | None, kind: str) -> Any:
    begin = _Beginning(function, name, kind)
    if _is(inspect.isasyncgenfunction, function):
        return _traced_async_generator(function, begin)
    if _is(inspect.isgeneratorfunction, function):
        return _traced_generator(function, begin)
    if _is(inspect.iscoroutinefunction, function):
        return _traced_coroutine(function, begin)
    return _traced_function(function, begin)


def _is(what: Callable[[Any], bool], function: Any) -> bool:
    """Whether a function, or the `__call__` of an object, is of a sort."""
    return what(function) or what(getattr(type(function), "__call__", None))  # noqa: B004  # it may be inherited


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None  # of a function in C


class _Beginning:
    """Begins the recording of a call."""

    def __init__(self, function: Callable[..., Any], name: str | None, kind: str) -> None:
        self._name = name or getattr(function, "__qualname__", type(function).__name__)
        self._name = self._name.rpartition("<locals>.")[2]
        self._kind = kind
        self._signature = _signature(function)

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recording:
        recording = Recording(self._name, self._kind)
        self._record_inputs(recording, args, kwargs)
        return recording

    def stream(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "_Stream":
        """Begin the recording of a generator."""
        return _Stream(self(args, kwargs), self._kind)

    @never_raises
    def _record_inputs(self, recording: Recording, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._signature is None:
            recording.span.set_inputs({**{str(place): value for place, value in enumerate(args)}, **kwargs})
            return
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
