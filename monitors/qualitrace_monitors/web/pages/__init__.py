"""The pages of the web port, one module each. A new page, or action, is one more entry here."""

from qualitrace_monitors.web.page import Action, Page
from qualitrace_monitors.web.pages import alerts, answers, label, now, operation, runbook, service, trace

PAGES: tuple[Page, ...] = (
    *(now.PAGE, answers.PAGE, alerts.PAGE, alerts.EVENT_PAGE, operation.PAGE),
    *(service.PAGE, trace.PAGE, runbook.PAGE),
)
"""Those with a name in the menu stand in it in this order."""

ACTIONS: tuple[Action, ...] = (alerts.TEST, alerts.BACKTEST, label.ACTION)
