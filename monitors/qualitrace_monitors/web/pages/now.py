"""The page at `/`: what is wrong first, then the services, the worst first."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from qualitrace_monitors.overview.alerts import ActiveAlert
from qualitrace_monitors.overview.day_before import BEFORE_SECONDS, NOW_SECONDS
from qualitrace_monitors.overview.overview import Overview, look
from qualitrace_monitors.overview.services import JudgeState, ServiceState
from qualitrace_monitors.overview.trends import Trend, trends
from qualitrace_monitors.web.page import BadQuery, Page, PageRequest, Sources
from qualitrace_monitors.web.sparkline import Sparkline

ALERTS, SERVICES, JUDGES = 20, 12, 5
"""Shown at once: alerts of each state, services, and judges of each; sixty charts are what a page has time for."""
NAMES = 100
"""How many further services are named."""
LONGEST_NAME = 300


def _context(sources: Sources, request: PageRequest) -> Mapping[str, Any]:
    containing = request.query.get("service", "")
    if len(containing) > LONGEST_NAME:
        raise BadQuery(f"service must have at most {LONGEST_NAME} characters")
    overview = look(sources, containing)
    firing, pending = ([each for each in overview.alerts if each.state == state] for state in ("firing", "pending"))
    services = overview.services[:SERVICES]
    shown = [(service, service.judges[:JUDGES]) for service in services]
    drawn = [(service.name, judge) for service, judges in shown for judge in judges]
    lines = trends(sources.database, overview.at, drawn)
    return {
        "overview": overview,
        "firing_alerts": firing[:ALERTS],
        "pending_alerts": pending[:ALERTS],
        "more_firing": max(0, len(firing) - ALERTS),
        "more_pending": max(0, len(pending) - ALERTS),
        "runbook_urls": {rule.name: rule.runbook_url for rule in sources.alerts.rules},
        "problems": overview.problems,
        "blocked_by": {problem.kind for problem in overview.problems if problem.severity == "critical"} - {"receiver"},
        "why_no_scores": _why_no_scores(sources, overview),
        "shown": shown,
        "more_services": overview.services[SERVICES : SERVICES + NAMES],
        "many_more": max(0, len(overview.services) - SERVICES - NAMES),
        "sparkline": partial(_sparkline, lines, overview.at),
        "containing": containing,
        "endpoint": f"http://{sources.config.listen.otlp_http}",
        "window": NOW_SECONDS,
        "before_window": BEFORE_SECONDS,
        "notified": _notified,
    }


def _sparkline(
    lines: Mapping[tuple[str, str], Trend], now: float, service: ServiceState, judge: JudgeState
) -> Sparkline | None:
    trend = lines.get((service.name, judge.judge))
    return None if trend is None else Sparkline.of(trend, judge.threshold, now)


def _notified(alert: ActiveAlert) -> str:
    """Say who was notified of an alert."""
    if not alert.receivers:
        return "nobody is notified: the rule has no receiver"
    outcomes = {each.receiver: each.outcome for each in alert.deliveries if each.status == "firing"}
    said = (f"{name} ({outcomes.get(name, 'not yet').replace('_', ' ')})" for name in alert.receivers)
    return f"notified: {', '.join(said)}"


def _why_no_scores(sources: Sources, overview: Overview) -> str:
    """Say why there are traces and no score."""
    judges: Sequence[Any] = sources.config.judges
    if not judges:
        return "No judge is configured: list some in the section judges of the configuration file."
    if overview.waiting:
        return f"{overview.waiting:,} samples wait for their judges: the first scores come in a moment."
    rates = [rate.effective for rate in overview.rates]
    stored = overview.traces.get("stored", 0)
    if not stored:
        return "None of the traces holds a call of a model, so there is nothing to judge."
    if not any(rates):
        return "The sampling rate of every judge is 0: set sampling.rate, or a judge's rate, in the configuration file."
    share = f"{max(rates):.0%}" if min(rates) == max(rates) else f"{min(rates):.0%} to {max(rates):.0%}"
    return (
        f"Judges score {share} of the traces (sampling.rate). None of the {stored:,} stored traces was picked and "
        "scored yet; `qualitrace doctor` says what traces lack."
    )


PAGE = Page("/", "now.html", _context, "Now")
