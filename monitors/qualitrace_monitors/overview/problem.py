"""What a problem is."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["critical", "warning", "info"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is wrong.

    Attributes:
        kind: otlp, state_database, mlflow, journal, disk, receiver, judge, no_scores, budget, rate, dead_letters,
            configuration, component, no_alert_rules or nobody_notified.
        subject: the name of what it is about; empty where `kind` says it.
        text: what is wrong.
        meaning: what that means for the reader.
        since: Unix seconds; None where it is not known.
        runbook: the name of the page in docs/runbooks that says what to do; empty if there is none.
    """

    kind: str
    severity: Severity
    text: str
    meaning: str
    subject: str = ""
    since: float | None = None
    runbook: str = ""
