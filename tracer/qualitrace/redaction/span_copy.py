"""A span with its texts redacted: a copy, since the application's other exporters get the span as it is."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Status

from qualitrace.copies import copied
from qualitrace.redaction.attributes import (
    is_count,
    is_plain_key,
    is_sender,
    plain,
    redacted_bytes,
    redacted_key,
    redacted_number,
)
from qualitrace.redaction.redactor import Redactor
from qualitrace.redaction.secrets import is_secret_name


class SpanRedactor:
    """Redacts names, keys and values of the attributes of spans, events, links, scopes and resources, and statuses.

    Args:
        redact: is asked for each text.
    """

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact
        self._resource: tuple[Resource | None, Resource | None] = (None, None)
        self._scope = lru_cache(maxsize=256)(self._make_scope)

    def __call__(self, span: ReadableSpan) -> ReadableSpan:
        """Return a redacted copy, or the span itself if there is nothing to redact in it."""
        if self.leaves(span, _texts(span)):
            return span
        resource, scope = self._made_resource(span.resource), self._scope(span.instrumentation_scope)
        return copied(
            span,
            name=self._redact(span.name),
            resource=resource,
            attributes=self._attributes(span.attributes),
            events=[Event(self._redact(e.name), self._attributes(e.attributes), e.timestamp) for e in span.events],
            links=[Link(link.context, self._attributes(link.attributes)) for link in span.links],
            status=Status(span.status.status_code, self._optional(span.status.description)),
            instrumentation_scope=scope,
        )

    def leaves(self, span: ReadableSpan, texts: list[str]) -> bool:
        """Return whether it is sure that a span stays as it is, of which only these texts could be redacted."""
        return (
            self._made_resource(span.resource) is span.resource
            and self._scope(span.instrumentation_scope) is span.instrumentation_scope
            and self._redact.keeps(texts)
        )

    def _made_resource(self, resource: Resource) -> Resource | None:
        if self._resource[0] is not resource:  # a process has one
            self._resource = (resource, self._make_resource(resource))
        return self._resource[1]

    def _attributes(self, attributes: Mapping[str, Any] | None) -> dict[str, Any]:
        return {redacted_key(self._redact, key): self._value(key, item) for key, item in (attributes or {}).items()}

    def _value(self, key: str, value: Any) -> Any:
        if isinstance(value, str):
            return self._redact.value(key, value)
        if isinstance(value, bytes):
            return redacted_bytes(self._redact, key, value)
        if isinstance(value, int):
            return redacted_number(self._redact, key, value)
        if isinstance(value, Mapping):
            return self._attributes(value)
        if isinstance(value, (list, tuple)):
            return [self._value(key, item) for item in value]
        return value

    def _optional(self, text: str | None) -> str | None:
        return None if text is None else self._redact(text)

    def _make_resource(self, resource: Resource) -> Resource:
        made = {
            redacted_key(self._redact, key): item if is_sender(key) else self._value(key, item)
            for key, item in resource.attributes.items()
        }
        return resource if made == dict(resource.attributes) else Resource(made, resource.schema_url)

    def _make_scope(self, scope: InstrumentationScope | None) -> InstrumentationScope | None:
        if scope is None:
            return None
        name, version = self._redact(scope.name), self._optional(scope.version)
        attributes = self._attributes(scope.attributes)
        if (name, version, attributes) == (scope.name, scope.version, dict(scope.attributes or {})):
            return scope
        return InstrumentationScope(name, version, scope.schema_url, attributes)


def _texts(span: ReadableSpan) -> list[str]:
    """Return all that is redacted in a span, for one search."""
    texts = [span.name]
    if span.status.description:
        texts.append(span.status.description)
    _add(texts, span.attributes)
    for event in span.events:
        texts.append(event.name)
        _add(texts, event.attributes)
    for link in span.links:
        _add(texts, link.attributes)
    return texts


def _add(texts: list[str], attributes: Mapping[str, Any] | None) -> None:
    for name, value in plain(attributes).items():
        if not is_plain_key(name):
            texts.append(name)
        if type(value) is str:
            texts.append(f"{name}={value}" if is_secret_name(name) else value)
        elif type(value) is not int or not is_count(value):
            texts += _texts_of(name, value)


def _texts_of(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield f"{name}={value}" if is_secret_name(name) else value
    elif isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _texts_of(key, item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts_of(name, item)
    elif isinstance(value, int) and not is_count(value):
        yield f"{name}={value}"
