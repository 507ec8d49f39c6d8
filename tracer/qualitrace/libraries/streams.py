"""Makes OpenTelemetry's wrapper of streams cheaper, which runs for each chunk. What it records stays the same.

The original opens a context manager for each chunk, and gathers attributes for metrics that, without a MeterProvider,
nobody gets. Only what was tested is replaced; other versions work as they are.
"""

# pyright: reportPrivateUsage=false

import importlib
from typing import Any

from opentelemetry.context import attach, detach
from opentelemetry.metrics import NoOpHistogram
from opentelemetry.metrics._internal.instrument import _ProxyHistogram

from qualitrace.quiet import never_raises

_UTIL = "opentelemetry.util.genai"
_OPENAI = "opentelemetry.instrumentation.genai.openai"
TESTED = {_UTIL: ("1.3b0",), _OPENAI: ("1.3b0",)}


def _is_tested(package: str) -> bool:
    # Not the distribution's metadata, which takes milliseconds to read.
    return importlib.import_module(f"{package}.version").__version__ in TESTED[package]


@never_raises
def quicken_reads(module: Any) -> None:
    """Replace how the wrappers of `opentelemetry.util.genai.stream` read a chunk."""
    if _is_tested(_UTIL):
        module.SyncStreamWrapper.__next__ = _quick_next(module.SyncStreamWrapper.__next__)
        module.AsyncStreamWrapper.__anext__ = _quick_anext(module.AsyncStreamWrapper.__anext__)


def _quick_next(slow: Any) -> Any:
    def quick(self: Any) -> Any:
        invocation = self._self_invocation
        if not _only_content_counts(invocation):
            return slow(self)
        token = attach(invocation._span_context)
        try:
            chunk = next(self._self_iterator)
        except StopIteration:
            self._finalize_success()
            raise
        except BaseException as error:
            self._finalize_failure(error)
            raise
        else:
            self._process_chunk(chunk)
            return chunk
        finally:
            detach(token)

    return quick


def _quick_anext(slow: Any) -> Any:
    async def quick(self: Any) -> Any:
        invocation = self._self_invocation
        if not _only_content_counts(invocation):
            return await slow(self)
        token = attach(invocation._span_context)
        try:
            chunk = await anext(self._self_aiter)
        except StopAsyncIteration:
            self._finalize_success()
            raise
        except BaseException as error:
            self._finalize_failure(error)
            raise
        else:
            self._process_chunk(chunk)
            return chunk
        finally:
            detach(token)

    return quick


def _only_content_counts(invocation: Any) -> bool:
    """Return whether the time of a chunk is of no use: it is not the first one, and no metric is recorded of it."""
    return (
        getattr(invocation, "_ttfc_seconds", None) is not None
        and invocation._suspended
        and not invocation._finished
        and _is_dead(invocation._instruments.time_per_output_chunk)
    )


def _is_dead(histogram: Any) -> bool:
    """Return whether nobody gets what the histogram records: there is no MeterProvider, or one that does nothing."""
    if isinstance(histogram, _ProxyHistogram):
        histogram = histogram._real_instrument
    return histogram is None or isinstance(histogram, NoOpHistogram)


@never_raises
def quicken_chat(module: Any) -> None:
    """Replace what `opentelemetry.instrumentation.genai.openai.chat_wrappers` does with a chunk that is only text."""
    if not all(map(_is_tested, TESTED)):
        return
    mixin, chunk_type = module._ChatStreamMixin, module.ChatCompletionChunk
    slow = mixin._process_chunk

    def quick(self: Any, chunk: Any) -> None:
        if type(chunk) is chunk_type and chunk.usage is None and self._self_response_id:
            choices, buffers = chunk.choices, self._self_choice_buffers
            if choices and len(choices) == 1 and _is_text(choices[0], buffers) and _tells_nothing_new(self, chunk):
                buffers[choices[0].index].text_content.append(choices[0].delta.content)
                return
        slow(self, chunk)

    mixin._process_chunk = quick


def _is_text(choice: Any, buffers: Any) -> bool:
    delta = choice.delta
    return (
        delta
        and type(delta.content) is str
        and choice.finish_reason is None
        and delta.refusal is None
        and delta.tool_calls is None
        and choice.index < len(buffers)
    )


def _tells_nothing_new(wrapper: Any, chunk: Any) -> bool:
    is_known = wrapper._self_invocation.data.response_model or not chunk.model
    return is_known and (wrapper._self_service_tier or chunk.service_tier is None)
