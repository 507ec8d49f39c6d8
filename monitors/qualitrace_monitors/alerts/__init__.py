"""Alert when quality really fell: rules over estimates, with state that outlives restarts."""

from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.alerts.status import AlertState, AlertStatus

__all__ = ["AlertEngine", "AlertState", "AlertStatus"]
