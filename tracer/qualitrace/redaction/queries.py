"""Queries of URLs on the spans of requests: a question may stand there."""

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from qualitrace.copies import copied

# Attributes of OpenTelemetry's conventions for HTTP, old and new, and for MCP.
_URLS = ("http.url", "http.target", "url.full", "mcp.resource.uri")
_QUERY = "url.query"


def without_queries(span: ReadableSpan) -> ReadableSpan:
    """Return a copy whose URLs have no queries, or the span itself if it has no URL."""
    attributes: dict[str, Any] = dict(span.attributes or {})
    query = attributes.pop(_QUERY, None)
    urls = {key: str(attributes[key]) for key in _URLS if key in attributes}
    if query is None and not any("?" in url for url in urls.values()):
        return span
    attributes.update({key: url.partition("?")[0] for key, url in urls.items()})
    return copied(
        span,
        attributes=attributes,
    )
