"""Starts the telemetry of libraries that make their own spans and are not switched by variables alone."""

import os

from qualitrace.content import captures_content

_OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"


def pydantic_ai() -> None:
    """Let all agents of Pydantic AI make spans."""
    from pydantic_ai import Agent, InstrumentationSettings  # pyright: ignore

    Agent.instrument_all(InstrumentationSettings(include_content=captures_content()))


def strands() -> None:
    """Leave content out of the spans of Strands, which it makes in any case, if it is not wanted."""
    if not captures_content():
        names = [os.environ.get(_OPT_IN, ""), "gen_ai_unredacted_attributes="]  # an empty list of what stays
        os.environ[_OPT_IN] = ",".join(filter(None, names))
