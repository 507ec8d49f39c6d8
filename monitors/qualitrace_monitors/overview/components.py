"""What it means for the reader that a component has a problem."""

from typing import NamedTuple

from qualitrace_monitors import component_names as component
from qualitrace_monitors.overview.problem import Problem, Severity


class _Known(NamedTuple):
    kind: str
    severity: Severity
    meaning: str
    runbook: str


NEEDING_MLFLOW = (component.STORING, component.FEEDBACK, component.RETENTION, component.JUDGING)
"""Components that wait while MLflow is away: it is what is wrong."""
NEEDING_STATE = (
    *NEEDING_MLFLOW,
    component.ALERTS,
    component.DELIVERY,
    component.HEARTBEAT,
    component.PRUNE,
    component.TEXTS,
)
"""Components that wait while the state database cannot be written."""
UNHEARD = "Notifications do not arrive there: watch this page, or alert people yourself."
_STORING = "New traces wait in the journal and are stored when MLflow is back; until then nothing new is judged."
_SILENT = "Its figures are old; alerts on them see nothing new."

_KNOWN = {
    component.OTLP: _Known(
        "otlp",
        "critical",
        "Applications cannot send traces now: their exporters retry, then drop them.",
        "not-ready",
    ),
    component.STATE: _Known(
        "state_database",
        "critical",
        "Nothing is stored or judged, no alert can fire, and figures are old. New traces wait in the journal.",
        "degraded",
    ),
    component.MLFLOW: _Known("mlflow", "critical", _STORING, "mlflow"),
    component.STORING: _Known("mlflow", "critical", _STORING, "mlflow"),
    component.RECEIVER: _Known("receiver", "critical", UNHEARD, "receivers"),
    component.DELIVERY: _Known("receiver", "critical", UNHEARD, "receivers"),
    component.JUDGE: _Known("judge", "warning", _SILENT, "judges"),
    component.JUDGING: _Known("judge", "warning", _SILENT, "judges"),
    component.ALERTS: _Known("component", "critical", "Rules are not evaluated: no alert can fire now.", "degraded"),
}
"""By the name of the component, up to its colon."""
_OTHER = _Known(
    "component", "warning", "This part makes no progress; traces are stored and judged all the same.", "degraded"
)


def of_component(name: str, text: str, since: float | None) -> Problem:
    """Return the problem of a component, as `text` says it, since a moment in Unix seconds."""
    kind, _, subject = name.partition(":")
    known = _KNOWN.get(kind, _OTHER)
    return Problem(
        kind=known.kind,
        severity=known.severity,
        subject=subject or ("" if known.kind == kind else kind),
        text=text,
        meaning=known.meaning,
        since=since,
        runbook=known.runbook,
    )
