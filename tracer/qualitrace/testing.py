"""For tests of an app: its spans and feedback in memory, without a collector.

    from qualitrace.testing import record_spans

    def test_answer():
        with record_spans() as spans:
            answer("Do you ship to France?")
        assert spans.one("search").kind == "retriever"

For pytest there is the fixture `qualitrace_spans`, which does the same around a test.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, overload

from qualitrace import lifecycle
from qualitrace.feedback import diverted_feedback
from qualitrace.reading import RecordedSpan, tree

__all__ = ["RecordedSpan", "RecordedSpans", "record_spans"]

# A test that makes more is not a unit test; it would fill the memory. The oldest are forgotten.
MAX_SPANS = 10_000


class RecordedSpans(Sequence[RecordedSpan]):
    """The spans that have ended, in this order, redacted as a collector would get them.

    Attributes:
        feedback: what `qualitrace.feedback` was called with, the newest last.
    """

    def __init__(self) -> None:
        self.feedback: list[dict[str, Any]] = []
        self._spans: list[RecordedSpan] = []
        self._flush: Callable[[], object] = lambda: None

    def all(self, name: str | None = None, *, kind: str | None = None) -> list[RecordedSpan]:
        """Return the spans with this name and of this kind: chain, retriever, tool, agent, llm, embedding …"""
        return [span for span in self if name in (None, span.name) and kind in (None, span.kind)]

    def one(self, name: str | None = None, *, kind: str | None = None) -> RecordedSpan:
        """Return the only span with this name and of this kind.

        Raises:
            AssertionError: there is none, or more than one; it shows all spans as a tree.
        """
        found = self.all(name, kind=kind)
        if len(found) != 1:
            wanted = " ".join(filter(None, (kind, "span", name and repr(name))))
            raise AssertionError(f"{len(found)} times {wanted}, not once, in\n{self.tree() or '(no spans)'}")
        return found[0]

    def children(self, span: RecordedSpan) -> list[RecordedSpan]:
        """Return the spans right below one, in the order of their start."""
        found = (item for item in self if (item.trace_id, item.parent_id) == (span.trace_id, span.span_id))
        return sorted(found, key=lambda item: item.start)

    def tree(self) -> str:
        """Return the spans as text, each on a line below its parent."""
        return tree(self._ended())

    def clear(self) -> None:
        """Forget the spans and the feedback so far."""
        self._ended()
        self._spans.clear()
        self.feedback.clear()

    @overload
    def __getitem__(self, index: int) -> RecordedSpan: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RecordedSpan]: ...
    def __getitem__(self, index: Any) -> Any:
        return self._ended()[index]

    def __len__(self) -> int:
        return len(self._ended())

    def __iter__(self) -> Iterator[RecordedSpan]:
        return iter(self._ended())

    def __repr__(self) -> str:
        return f"<{len(self)} spans>\n{self.tree()}"

    def _ended(self) -> list[RecordedSpan]:
        self._flush()
        return list(self._spans)

    def take(self, spans: Sequence[RecordedSpan]) -> None:
        """Keep spans; tracing calls this."""
        self._spans += spans
        del self._spans[:-MAX_SPANS]

    def close(self) -> None:
        """Do nothing: what was recorded stays."""


@contextmanager
def record_spans(**settings: Any) -> Generator[RecordedSpans]:
    """Keep the spans and the feedback of the block in memory. Nothing is sent, and no collector is needed.

    If the app has called `init` before, its settings hold. Else tracing starts with the block, with the libraries that
    are imported, and ends with it. In the block `init` and `shutdown` do nothing.

    >>> with record_spans() as spans:
    ...     with qualitrace.span("search", kind="retriever") as step:
    ...         step.set_inputs("Do you ship to France?")
    ...         step.set_outputs(["We ship to France."])
    >>> spans.one(kind="retriever").inputs
    'Do you ship to France?'

    Args:
        settings: keywords of `init`, where the app has not called it.

    Raises:
        RuntimeError: tracing is switched off by `OTEL_SDK_DISABLED`, or runs already and `settings` were given.
    """
    spans = RecordedSpans()
    with ExitStack() as stack:
        spans._flush = stack.enter_context(lifecycle.recording(spans, settings))  # pyright: ignore[reportPrivateUsage]
        stack.enter_context(diverted_feedback(spans.feedback.append))
        try:
            yield spans
        finally:
            spans._flush()  # pyright: ignore[reportPrivateUsage]
            spans._flush = lambda: None  # pyright: ignore[reportPrivateUsage]
