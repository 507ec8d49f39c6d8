"""`@trace` on every kind of function: the function behaves as before, and the span records the call."""

import abc
import asyncio
import functools
import inspect
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import qualitrace


def test_function(tracing: Any) -> None:
    """One argument is recorded as its value, several as a mapping, and the result as output."""

    @qualitrace.trace
    def one(question: str) -> str:
        return question.upper()

    @qualitrace.trace(name="both")
    def two(question: str, k: int = 3) -> list[str]:
        return [question] * k

    assert (one("hi"), two("hi", k=2)) == ("HI", ["hi", "hi"])
    spans = tracing.flushed()
    assert spans["one"].attributes["input.value"] == "hi"
    assert spans["one"].attributes["output.value"] == "HI"
    assert spans["both"].json("input.value") == {"question": "hi", "k": 2}
    assert spans["both"].json("output.value") == ["hi", "hi"]


def test_methods(tracing: Any) -> None:
    """On methods, class methods and static methods the object itself is not an input."""

    class Shop:
        @qualitrace.trace
        def sell(self, item: str) -> str:
            return item

        @qualitrace.trace
        @classmethod
        def make(cls, item: str) -> str:
            return cls.__name__ + item

        @qualitrace.trace
        @staticmethod
        def count(item: str) -> int:
            return len(item)

    assert (Shop().sell("a"), Shop.make("b"), Shop().count("c")) == ("a", "Shopb", 1)
    inputs = {name: span.attributes["input.value"] for name, span in tracing.flushed().items()}
    assert inputs == {"Shop.sell": "a", "Shop.make": "b", "Shop.count": "c"}


class Catalogue:
    def inherited(self) -> str:
        return "base"


@qualitrace.trace(kind="tool")
class Shop(Catalogue):
    """Has every sort of method, traced before tracing starts."""

    limit = 3

    class Item:  # noqa: D106
        def weigh(self) -> int:
            return 1

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, item: str) -> str:
        return item

    def sell(self, item: str) -> str:
        return self._packed(item)

    async def order(self, item: str) -> str:
        return item

    def stream(self) -> Iterator[str]:
        yield from "ab"

    @classmethod
    def make(cls, name: str) -> "Shop":
        return cls(name)

    @staticmethod
    def count(item: str) -> int:
        return len(item)

    @property
    def title(self) -> str:
        return self.name.title()

    @functools.cache  # noqa: B019
    def cached(self) -> int:
        return 1

    @qualitrace.trace(name="find", kind="retriever")
    def search(self, query: str) -> list[str]:
        return [query]

    def _packed(self, item: str) -> str:
        return item + "!"


def test_class(tracing: Any) -> None:
    """Its own public methods of every sort are traced, and behave as before; nothing else is touched."""
    shop = Shop.make("tents")
    assert (shop("a"), shop.sell("b"), asyncio.run(shop.order("c")), list(shop.stream())) == (
        "a",
        "b!",
        "c",
        ["a", "b"],
    )
    assert (shop.count("dd"), shop.title, shop.search("e"), shop.inherited()) == (2, "Tents", ["e"], "base")
    assert (shop.cached(), Shop.cached.cache_info().currsize, Shop.Item().weigh(), shop.limit) == (1, 1, 1, 3)
    spans = tracing.flushed()
    methods = ("make", "__call__", "sell", "order", "stream", "count")
    assert spans.keys() == {"find", *(f"Shop.{name}" for name in methods)}
    assert spans["Shop.sell"].json("gen_ai.tool.call.arguments") == {"item": "b"}
    assert spans["find"].attributes["openinference.span.kind"] == "RETRIEVER"


def test_class_in_a_family(tracing: Any) -> None:
    """Subclasses call a traced method through the traced base, abstract methods stay so, and a name is a prefix."""

    @qualitrace.trace(name="shop")
    class Base(abc.ABC):
        @abc.abstractmethod
        def price(self) -> int: ...

        def show(self) -> str:
            return f"{self.price()} EUR"

    class Tent(Base):
        def price(self) -> int:
            return 12

        def show(self) -> str:
            return super().show() + "!"

    with pytest.raises(TypeError, match="abstract"):
        Base()  # type: ignore[abstract]
    assert Tent().show() == "12 EUR!"
    assert tracing.flushed().keys() == {"shop.show"}


def test_coroutine(tracing: Any) -> None:
    """A coroutine function stays one, and its span covers what it awaits."""

    @qualitrace.trace(kind="agent")
    async def act(task: str) -> str:
        await asyncio.sleep(0)
        with qualitrace.span("inner"):
            return task + "!"

    assert inspect.iscoroutinefunction(act)
    assert asyncio.run(act("go")) == "go!"
    spans = tracing.flushed()
    assert spans["act"].attributes["output.value"] == "go!"
    assert spans["inner"].parent_id == spans["act"].span_id


def test_tool_and_retriever(tracing: Any) -> None:
    """A tool's arguments are a mapping even if there is one; a retriever's documents are normalised."""

    @qualitrace.trace(kind="tool")
    def weather(city: str) -> str:
        return "rain"

    @qualitrace.trace(kind="retriever")
    def search(query: str, k: int) -> list[dict[str, str]]:
        return [{"text": "Paris", "id": "1"}]

    weather("Paris")
    search("where?", 1)
    spans = tracing.flushed()
    assert spans["weather"].json("gen_ai.tool.call.arguments") == {"city": "Paris"}
    assert spans["search"].attributes["gen_ai.retrieval.query.text"] == "where?"
    assert spans["search"].json("output.value") == [{"page_content": "Paris", "metadata": {}, "id": "1"}]


def words(*items: Any) -> Any:
    """A traced generator, and the same as an async one, of the items; each with a span between the first two."""

    @qualitrace.trace(name="stream")
    def sync() -> Iterator[Any]:
        with qualitrace.span("whole"):
            yield items[0]
            with qualitrace.span("part"):
                yield from items[1:]

    @qualitrace.trace(name="stream")
    async def asynchronous() -> AsyncIterator[Any]:
        with qualitrace.span("whole"):
            yield items[0]
            with qualitrace.span("part"):
                for item in items[1:]:
                    yield item

    return sync, asynchronous


async def gather(stream: AsyncIterator[Any], limit: int = 99) -> list[Any]:
    """Read up to `limit` items, then close; no span may be current in between."""
    found: list[Any] = []
    async for item in stream:
        assert qualitrace.current_trace_id() is None
        found.append(item)
        if len(found) == limit:
            break
    await stream.aclose()  # type: ignore[attr-defined]
    return found


def consume(stream: Iterator[Any], limit: int = 99) -> list[Any]:
    """Read up to `limit` items, then close; no span may be current in between."""
    found: list[Any] = []
    for item in stream:
        assert qualitrace.current_trace_id() is None
        found.append(item)
        if len(found) == limit:
            break
    stream.close()  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("is_async", [False, True])
def test_stream(tracing: Any, is_async: bool) -> None:
    """A stream's text is joined; spans inside nest across steps; the consumer's code is outside of them."""
    sync, asynchronous = words("a", "b", "c")
    assert inspect.isgeneratorfunction(sync)
    assert inspect.isasyncgenfunction(asynchronous)
    assert (asyncio.run(gather(asynchronous())) if is_async else consume(sync())) == ["a", "b", "c"]
    spans = tracing.flushed()
    assert spans["stream"].attributes["output.value"] == "abc"
    assert spans["whole"].parent_id == spans["stream"].span_id
    assert spans["part"].parent_id == spans["whole"].span_id


@pytest.mark.parametrize("is_async", [False, True])
def test_stream_closed_early(tracing: Any, is_async: bool) -> None:
    """A stream that its consumer leaves ends its span then, with what was yielded, and not as an error."""
    sync, asynchronous = words("a", "b", "c")
    assert (asyncio.run(gather(asynchronous(), 2)) if is_async else consume(sync(), 2)) == ["a", "b"]
    span = tracing.flushed()["stream"]
    assert (span.attributes["output.value"], span.status) == ("ab", 0)


def test_stream_of_objects(tracing: Any) -> None:
    """Chunks that are not all text are recorded as a list."""
    sync, _ = words({"n": 1}, "x")
    assert consume(sync()) == [{"n": 1}, "x"]
    assert tracing.flushed()["stream"].json("output.value") == [{"n": 1}, "x"]


def test_generator_protocol(tracing: Any) -> None:
    """What is sent, thrown and returned passes through as without the decorator."""

    @qualitrace.trace
    def echo() -> Any:
        got = None
        while got != "stop":
            try:
                got = yield got
            except KeyError:
                got = "caught"
        return "done"

    stream = echo()
    assert (next(stream), stream.send("hi"), stream.throw(KeyError())) == (None, "hi", "caught")
    with pytest.raises(StopIteration) as stopped:
        stream.send("stop")
    assert stopped.value.value == "done"


def test_stream_error(tracing: Any) -> None:
    """An error in the middle of a stream reaches the consumer and the span, which keeps what came before."""

    @qualitrace.trace
    def broken() -> Iterator[str]:
        yield "half"
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        list(broken())
    span = tracing.flushed()["broken"]
    assert (span.status, span.attributes["output.value"]) == (2, "half")


def test_long_stream_is_bounded(tracing: Any) -> None:
    """A stream of any length passes whole, and is recorded up to the limit."""

    @qualitrace.trace
    def numbers() -> Iterator[int]:
        yield from range(100_000)

    assert sum(numbers()) == sum(range(100_000))
    assert len(tracing.flushed()["numbers"].attributes["output.value"]) < 70_000


def test_error(tracing: Any) -> None:
    """A function's error passes through unchanged, and so does a call with the wrong arguments."""

    @qualitrace.trace
    def divide(a: int, b: int) -> float:
        return a / b

    with pytest.raises(ZeroDivisionError):
        divide(1, 0)
    span = tracing.flushed()["divide"]
    assert (span.status, span.events, json.loads(span.attributes["input.value"])) == (
        2,
        ["exception"],
        {"a": 1, "b": 0},
    )
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'b'"):
        divide(1)  # type: ignore[call-arg]


def test_mistakes_at_decoration() -> None:
    """An unknown kind, or something that is not a function, is refused where it stands."""
    with pytest.raises(ValueError, match="unknown kind 'retreiver'; kinds: chain, retriever, tool, agent"):
        qualitrace.trace(kind="retreiver")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="decorates functions, methods and classes"):
        qualitrace.trace("f")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="defines no public methods"):
        qualitrace.trace(dict)


def test_unreadable_argument(tracing: Any) -> None:
    """An argument that cannot be serialised does not break the call."""

    class Evil:
        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            raise RuntimeError

        def __repr__(self) -> str:
            raise RuntimeError

    @qualitrace.trace
    def use(value: Any) -> int:
        return 1

    assert use(Evil()) == 1
    assert tracing.flushed()["use"].json("input.value") == "<unreadable Evil>"


class Called:
    """Objects whose call is a coroutine, or a generator."""

    class Base:
        """A coroutine."""

        async def __call__(self, question: str) -> str:
            return f"{question} yes"

    class Once(Base):
        """One that is inherited."""

    class Often:
        """A generator."""

        def __call__(self, question: str) -> Iterator[str]:
            yield from (question, " yes")

    class OftenAsync:
        """An async generator."""

        async def __call__(self, question: str) -> AsyncIterator[str]:
            for word in (question, " yes"):
                yield word


@pytest.mark.parametrize("kind", [Called.Once, Called.Often, Called.OftenAsync])
def test_objects_that_are_called(tracing: Any, kind: Any) -> None:
    """The answer of the call is recorded, not that there is a coroutine."""

    async def read(answer: Any) -> str:
        if inspect.isawaitable(answer):
            return await answer
        return "".join([word async for word in answer] if inspect.isasyncgen(answer) else answer)

    assert asyncio.run(read(qualitrace.trace(kind())("Ships?"))) == "Ships? yes"
    attributes = tracing.flushed()[kind.__qualname__.rpartition(".")[2]].attributes
    assert (attributes["input.value"], attributes["output.value"]) == ("Ships?", "Ships? yes")


def test_a_function_without_a_signature(tracing: Any) -> None:
    """Some functions in C have none; their arguments are named by their places."""
    assert qualitrace.trace(min)([3, 2], default=1) == 2
    assert json.loads(tracing.flushed()["min"].attributes["input.value"]) == {"0": [3, 2], "default": 1}
