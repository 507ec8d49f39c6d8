"""Copies of spans that differ: the application's other exporters get each span as it is."""

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

_FIELDS = (
    "name",
    "context",
    "parent",
    "resource",
    "attributes",
    "events",
    "links",
    "kind",
    "status",
    "start_time",
    "end_time",
    "instrumentation_scope",
)


def copied(span: ReadableSpan, **changes: Any) -> ReadableSpan:
    """Return a copy of a span that has ended.

    Args:
        changes: the keywords of `ReadableSpan` that differ.
    """
    same: dict[str, Any] = {field: getattr(span, field) for field in _FIELDS if field not in changes}
    return ReadableSpan(**same, **changes)
