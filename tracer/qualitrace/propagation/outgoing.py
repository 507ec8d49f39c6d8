"""Which headers a request to another service gets: the trace for every host, baggage for hosts that a setting names."""

from collections.abc import Collection, Mapping
from typing import Any

from opentelemetry import trace as otel
from opentelemetry.baggage import clear
from opentelemetry.context import Context, get_current
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.propagate import get_global_textmap
from opentelemetry.propagators.textmap import Setter, default_setter

from qualitrace import provider
from qualitrace.propagation.baggage import HEADER, joined, written
from qualitrace.session import ENVIRONMENT, session_attributes
from qualitrace.settings import Settings

# Providers of models never get baggage, whatever the setting says. The calls of clients that are traced are known
# besides, wherever the model runs.
_PROVIDERS = (
    "ai21.com",
    "amazonaws.com",
    "anthropic.com",
    "azure.com",
    "cerebras.ai",
    "cohere.ai",
    "cohere.com",
    "deepseek.com",
    "fireworks.ai",
    "googleapis.com",
    "groq.com",
    "huggingface.co",
    "jina.ai",
    "mistral.ai",
    "nvidia.com",
    "openai.com",
    "openrouter.ai",
    "perplexity.ai",
    "replicate.com",
    "together.xyz",
    "voyageai.com",
    "x.ai",
)


def headers_for(host: str, port: int | None, present: Mapping[str, str]) -> dict[str, str]:
    """Return the headers to set on a request.

    Args:
        host: where the request goes, without a port.
        port: of the host.
        present: the request's headers, found by names in lower case. A `traceparent` of the app's own stays.
    """
    settings = provider.settings()
    if settings is None or not settings.propagate or not is_instrumentation_enabled():  # it is not while spans leave
        return {}
    headers: dict[str, str] = {}
    if "traceparent" not in present:
        inject_trace(headers)
    if _may_have_baggage(host.lower().rstrip("."), port, settings.baggage_hosts):
        given = present.get(HEADER, "")
        if (baggage := joined(given, _members(settings))) != given:
            headers[HEADER] = baggage
    return headers


def inject_trace(carrier: Any, context: Context | None = None, setter: Setter[Any] = default_setter) -> None:
    """Do what OpenTelemetry's `inject` does, but leave baggage out: it may have come from another service."""
    get_global_textmap().inject(carrier, clear(context), setter)
    if running := provider.processor():
        running.requests.used(otel.get_current_span(context).get_span_context().span_id)


def _may_have_baggage(host: str, port: int | None, allowed: Collection[str]) -> bool:
    if not allowed or any(host == name or host.endswith(f".{name}") for name in _PROVIDERS):
        return False
    if not any(_fits(host, port, pattern) for pattern in allowed):
        return False
    context = otel.get_current_span().get_span_context()
    if not context.is_valid:
        return True
    running = provider.processor()
    # What an unsampled span does is not known: it may be a model call.
    return context.trace_flags.sampled and running is not None and not running.live.is_model_call(context.span_id)


def _fits(host: str, port: int | None, pattern: str) -> bool:
    name, colon, wanted = pattern.rpartition(":")
    if not (colon and wanted.isdecimal()):
        name, wanted = pattern, ""
    name = name.strip("[]")
    fits = host.endswith(name[1:]) if name.startswith("*.") else host == name
    return fits and wanted in ("", str(port))


def _members(settings: Settings) -> dict[str, str]:
    attributes = dict(session_attributes(get_current()))
    if settings.environment:
        attributes.setdefault(ENVIRONMENT, settings.environment)
    if redact := settings.redactor:  # what is replaced in spans is replaced here
        attributes = {key: redact.value(key, value) for key, value in attributes.items()}
    return written(attributes)
