"""Spans that have not ended, and those of web requests in which nothing has happened yet."""

from collections import OrderedDict
from collections.abc import Callable

from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import SpanKind

# Spans that never end must not fill the memory; this is far more than the requests that one process serves at a time.
MAX_LIVE = 10_000

# Requests, running or ended, that are held. Those beyond, the oldest, are forgotten if they ended, else they leave.
MAX_LONE = 4_000

# Scopes of the spans that frameworks, and instrumentors of frameworks, make of a request.
WEB_SCOPES = frozenset(
    {
        "fastapi",
        *(
            f"opentelemetry.instrumentation.{name}"
            for name in (
                "aiohttp_server",
                "asgi",
                "django",
                "falcon",
                "fastapi",
                "flask",
                "pyramid.callbacks",
                "starlette",
                "tornado",
                "wsgi",
            )
        ),
    }
)

_MODEL_OPERATIONS = frozenset({"chat", "completion", "text_completion", "generate_content", "embeddings", "rerank"})
_MODEL_KEYS = ("gen_ai.system", "gen_ai.provider.", "gen_ai.request.", "llm.")  # `gen_ai.conversation.id` is on all
_MODEL_KINDS = frozenset({"LLM", "EMBEDDING", "RERANKER"})


class LiveSpans:
    """The spans of this process that have not ended, by id."""

    def __init__(self) -> None:
        self._spans: OrderedDict[int, Span] = OrderedDict()

    def started(self, span_id: int, span: Span) -> None:
        """Remember a span."""
        self._spans[span_id] = span
        if len(self._spans) > MAX_LIVE:
            self._spans.popitem(last=False)

    def ended(self, span_id: int) -> None:
        """Forget a span."""
        self._spans.pop(span_id, None)

    def is_model_call(self, span_id: int) -> bool:
        """Whether this is the span of a model call, or of the HTTP request of one."""
        span = self._spans.get(span_id)
        if span is None:
            return False
        around = self._spans.get(span.parent.span_id) if span.parent and span.kind is SpanKind.CLIENT else None
        return _is_model_call(span) or (around is not None and _is_model_call(around))


def _is_model_call(span: Span) -> bool:
    attributes = span.attributes or {}
    if operation := attributes.get("gen_ai.operation.name"):
        return operation in _MODEL_OPERATIONS
    if kind := attributes.get("openinference.span.kind"):
        return kind in _MODEL_KINDS
    return span.kind is SpanKind.CLIENT and any(key.startswith(_MODEL_KEYS) for key in attributes)


class LoneRequests:
    """Holds back the spans of web requests until something happens below them. Most never leave: health checks, pages.

    Args:
        release: is given a span that has ended before something happened below it.
    """

    def __init__(self, release: Callable[[ReadableSpan], None]) -> None:
        self._release = release
        self._lone: OrderedDict[int, _Request] = OrderedDict()

    def started(self, span_id: int, span: Span) -> None:
        """Note a request, or that something happens below one."""
        scope, above = span.instrumentation_scope, span.parent
        parent = above.span_id if above else 0
        if scope is None or scope.name not in WEB_SCOPES:
            self.used(parent)
            return
        self._lone[span_id] = _Request(parent)
        if len(self._lone) > MAX_LONE:
            self._lone.popitem(last=False)

    def used(self, span_id: int) -> None:
        """Let the request of this id, and those around it, leave."""
        while (request := self._lone.pop(span_id, None)) is not None:
            if request.span is not None and request.claim():
                self._release(request.span)
            span_id = request.parent

    def ended(self, span_id: int, span: ReadableSpan) -> bool:
        """Whether the span leaves now. A lone request stays here, as a task that outlives it may start yet."""
        request = self._lone.get(span_id)
        if request is None:
            return True
        request.span = span
        return span_id not in self._lone and request.claim()  # another thread may have used it meanwhile


class _Request:
    """A request below which nothing has happened yet.

    Attributes:
        parent: id of the span around it, 0 if there is none.
        span: the span, once it has ended.
    """

    def __init__(self, parent: int) -> None:
        self.parent = parent
        self.span: ReadableSpan | None = None
        self._claims = [True]

    def claim(self) -> bool:
        """Return True to one caller, of all threads."""
        try:
            return self._claims.pop()
        except IndexError:
            return False
