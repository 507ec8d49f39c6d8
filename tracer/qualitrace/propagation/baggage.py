"""Session, user, prompt version and environment as members of W3C's `baggage` header (https://www.w3.org/TR/baggage/).

What comes in may be anybody's: only these four keys are taken, and only values that can be an id or a name.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

import wrapt
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter, default_getter

from qualitrace.quiet import SparseFilter, never_raises
from qualitrace.session import ENVIRONMENT, PROMPT_VERSION, SESSION, USER, in_session

HEADER = "baggage"
KEYS = (SESSION, USER, PROMPT_VERSION, ENVIRONMENT)

# What W3C asks every implementation to carry, and OpenTelemetry's reads at most.
MAX_HEADER = 8192

# MLflow refuses a trace with a longer session.
MAX_VALUE = 250

_MODULE = "opentelemetry.baggage.propagation"


def read(headers: Iterable[str]) -> dict[str, str]:
    """Return our members of the `baggage` headers of a request; of several with the same key the last one counts."""
    header = ",".join(headers)
    if len(header) > MAX_HEADER:
        return {}
    found: dict[str, str] = {}
    for member in header.split(","):
        key, _, value = member.partition(";")[0].partition("=")  # properties follow a semicolon
        if key.strip() in KEYS and (text := _decoded(value.strip())):
            found[key.strip()] = text
    return found


def written(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return those of the attributes that can be members, by key, each as `key=value`."""
    return {
        key: f"{key}={quote(attributes[key], safe='')}"  # not `quote_plus`: JavaScript reads + as a plus
        for key in KEYS
        if _is_name(attributes.get(key, ""))
    }


def joined(header: str, members: Mapping[str, str]) -> str:
    """Return a `baggage` header with members added, but for keys that it has, and those that would make it too long."""
    present = {member.partition("=")[0].strip() for member in header.split(",")}
    for key, member in members.items():
        longer = f"{header},{member}" if header else member
        if key not in present and len(longer) <= MAX_HEADER:
            header = longer
    return header


def _decoded(value: str) -> str:
    try:
        text = unquote(value, errors="strict")
    except UnicodeDecodeError:
        return ""
    return text if _is_name(text) else ""


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_VALUE and text.isprintable() and not text.isspace()


def take_received() -> None:
    """Let spans of a request that brings baggage be in the caller's session.

    The request is read where OpenTelemetry reads its baggage, so this holds for all instrumentors of servers and
    queues. `OTEL_PROPAGATORS` without `baggage` turns it off.
    """
    wrapt.register_post_import_hook(_wrap, _MODULE)


@never_raises
def _wrap(module: Any) -> None:
    if not isinstance(module.W3CBaggagePropagator.__dict__["extract"], wrapt.FunctionWrapper):
        wrapt.wrap_function_wrapper(module, "W3CBaggagePropagator.extract", _extract)
        module._logger.addFilter(SparseFilter())  # it quotes what strangers send


def _extract(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Context:
    context: Context = wrapped(*args, **kwargs)
    return _with_session(context, *args, **kwargs) or context


@never_raises
def _with_session(
    found: Context, carrier: Any, _: Context | None = None, getter: Getter[Any] = default_getter
) -> Context:
    return in_session(found, read(_strings(getter.get(carrier, HEADER))))


def _strings(values: Any) -> Iterator[str]:
    return (value for value in values or () if isinstance(value, str))
