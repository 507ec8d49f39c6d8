"""Spans of the tools that CrewAI's agents call."""

from typing import Any

import wrapt

from qualitrace.spans import span


def record_tools() -> None:
    """Make a span of each call of a tool, which OpenLLMetry's instrumentor leaves out."""
    for kind in ("BaseTool", "Tool"):  # Tool has a `run` of its own that does not call its parent's
        wrapt.wrap_function_wrapper("crewai.tools.base_tool", f"{kind}.run", _run)


def _run(wrapped: Any, tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with span(str(tool.name), kind="tool") as current:
        current.set_inputs({"args": list(args), "kwargs": kwargs} if args else kwargs)
        result = wrapped(*args, **kwargs)
        current.set_outputs(result)
        return result
