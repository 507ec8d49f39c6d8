"""Which of the requests in a trace is judged: a client's trace may hold several, each with a local root of its own."""

from collections.abc import Callable, Sequence

from qualitrace_collector.convert.mlflow_span import AnySpan
from qualitrace_collector.convert.root import SERVED
from qualitrace_collector.piece import local_roots

# Attributes of the root of a request by HTTP, RPC or a queue (OpenTelemetry's semantic conventions).
_REQUEST = (*SERVED, "rpc.system", "rpc.system.name", "messaging.system")


def roots_of(spans: Sequence[AnySpan]) -> list[AnySpan]:
    """Return the local roots, see `local_roots`."""
    return local_roots(spans, lambda span: (span.span_id, span.parent_id, span.start_time_ns))


def judged_request(
    spans: Sequence[AnySpan], answers: Callable[[AnySpan, Sequence[AnySpan]], bool]
) -> tuple[AnySpan, Sequence[AnySpan]]:
    """Return the root of the request that is judged, and the spans that its answer may come from and rest on.

    That is the first request that was answered. Others may have fetched its material before; those that were answered
    themselves, or began after it, are not part of it. Spans whose root was lost belong to it as well. Where one request
    is the only span without a parent, it caused all others, so that they belong to it even if spans between are lost.

    Args:
        spans: those of a trace.
        answers: whether a root, given the spans below it and itself, shows an answer.
    """
    tops = roots_of(spans)
    requests = [top for top in tops if any(top.get_attribute(key) is not None for key in _REQUEST)]
    caused_all = len(tops) > 1 and tops[0].parent_id is None and tops[1].parent_id is not None
    if len(requests) < 2 or tops[0] is not requests[0] or caused_all:
        return tops[0], spans
    children: dict[str | None, list[AnySpan]] = {}
    for span in spans:
        children.setdefault(span.parent_id, []).append(span)
    parts = [_with_all_below(request, children) for request in requests]
    answered = [answers(request, part) for request, part in zip(requests, parts, strict=True)]
    if not any(answered):
        return tops[0], spans
    judged = requests[answered.index(True)]
    end = judged.end_time_ns or judged.start_time_ns
    other = {
        span.span_id
        for request, part, is_answered in zip(requests, parts, answered, strict=True)
        if request is not judged and (is_answered or request.start_time_ns > end)
        for span in part
    }
    return judged, [span for span in spans if span.span_id not in other]


def _with_all_below(top: AnySpan, children: dict[str | None, list[AnySpan]]) -> list[AnySpan]:
    found = [top]
    for span in found:  # it grows meanwhile
        found += children.get(span.span_id, ())
    return found
