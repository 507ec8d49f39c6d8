"""Quality monitors: online judging, estimates and alerts; `evaluate` runs the same judges over a data set."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qualitrace_monitors.evaluation.run import evaluate

__all__ = ["evaluate"]


def __getattr__(name: str) -> Any:
    """Load `evaluate` when it is asked for: it brings MLflow, which the server's supervisor has no use for."""
    if name == "evaluate":
        from qualitrace_monitors.evaluation.run import evaluate

        return evaluate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
