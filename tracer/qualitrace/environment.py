"""OpenTelemetry's variables whose bad values would break the app or its tracing, and those that have no effect here."""

import os
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points

from qualitrace.quiet import logger

_LIMITS = (
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
)
# By variable: the group of entry points that its names come from.
_NAMES = {
    "OTEL_PROPAGATORS": "opentelemetry_propagator",
    "OTEL_PYTHON_TRACER_PROVIDER": "opentelemetry_tracer_provider",
    "OTEL_PYTHON_METER_PROVIDER": "opentelemetry_meter_provider",
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "opentelemetry_resource_detector",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": "opentelemetry_otlp_credential_provider",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER": "opentelemetry_otlp_credential_provider",
}
_BUILT_IN = {"none", "*", "otel", "service_instance"}
_SAMPLERS = ("always_on", "always_off", "traceidratio")


def repair() -> None:
    """Take bad values out of this process's environment, with a warning for each.

    OpenTelemetry raises on them, some in the app's imports.
    """
    for variable in _LIMITS:
        _check(variable, _limit)
    for variable, group in _NAMES.items():
        _check(variable, lambda text, group=group: _names(text, group))


def sdk_is_disabled() -> bool:
    """Return whether OpenTelemetry's SDK makes nothing in this process: it reads no other word than `true`."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def say_unused() -> None:
    """Warn of variables that say where or how to send, or what to sample, in ways that qualitrace does not know."""
    for variable, known, what in _UNUSED:
        text = os.environ.get(variable, "").strip().lower()
        if text and not known(text):
            logger.warning("%s=%s is not used: %s", variable, text, what)


_HTTP = "qualitrace sends by OTLP/HTTP with protobuf, usually to port 4318"
_UNUSED: tuple[tuple[str, Callable[[str], bool], str], ...] = (
    ("OTEL_TRACES_EXPORTER", lambda text: not {"otlp", "console"}.isdisjoint(text.split(",")), _HTTP),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", lambda text: text == "http/protobuf", _HTTP),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", lambda text: text == "http/protobuf", _HTTP),
    (
        "OTEL_TRACES_SAMPLER",
        lambda text: text.removeprefix("parentbased_") in _SAMPLERS,
        f"qualitrace knows {', '.join(_SAMPLERS)}, and the same with parentbased_",
    ),
)


def _check(variable: str, read: Callable[[str], str]) -> None:
    text = os.environ.get(variable)
    if not text:
        return
    try:
        os.environ[variable] = read(text)
    except ValueError as error:
        logger.warning("%s is ignored: %s", variable, error)
        del os.environ[variable]


def _limit(text: str) -> str:
    if not text.strip().isdecimal():
        raise ValueError(f"must be a whole number from 0, not {text!r}")
    return text


def _names(text: str, group: str) -> str:
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in _missing(names, group)]:
        raise ValueError(f"there is no {unknown[0]!r}; it is misspelled, or its distribution is not installed")
    return text


def _missing(names: list[str], group: str) -> Iterator[str]:
    for name in names:
        if name and name.lower() not in _BUILT_IN and not entry_points(group=group, name=name):
            yield name
