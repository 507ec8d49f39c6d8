"""Starts the telemetry of libraries that make their own spans and are not switched by variables alone."""

import os
from typing import Any

import wrapt

from qualitrace.content import captures_content
from qualitrace.quiet import never_raises

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


def ag2() -> None:
    """Give each agent of AG2 its middleware for telemetry, first of all, unless the app has given it one."""
    wrapt.wrap_function_wrapper("ag2.agent", "Agent.__init__", _make_agent)


def _make_agent(wrapped: Any, agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    wrapped(*args, **kwargs)
    _add_telemetry(agent)


@never_raises
def _add_telemetry(agent: Any) -> None:
    from ag2.middleware.builtin.telemetry import TelemetryMiddleware  # pyright: ignore  # imports the SDK

    if not any(isinstance(each, TelemetryMiddleware) for each in agent._middleware):
        telemetry = TelemetryMiddleware(agent_name=agent.name, capture_content=captures_content())
        agent._middleware.insert(0, telemetry)
