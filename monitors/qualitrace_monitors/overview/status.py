"""The overview as JSON, for `GET /status.json` and the commands.

docs/reference/status.md lists the fields. Fields may be added; one that changes its meaning raises `FORMAT`.
"""

import math
from dataclasses import asdict
from typing import Any

from qualitrace_monitors.estimate.estimator import Estimate
from qualitrace_monitors.overview.alerts import ActiveAlert
from qualitrace_monitors.overview.day_before import BEFORE_SECONDS, NOW_SECONDS
from qualitrace_monitors.overview.overview import Overview
from qualitrace_monitors.overview.problems import Receiver
from qualitrace_monitors.overview.services import JudgeState, ServiceState

FORMAT = 1
MOST_SERVICES = 200
"""As many as a tenant may have by default; the worst ones."""
MOST_ALERTS = 500


def status(overview: Overview) -> dict[str, Any]:
    """Return the state of things as JSON's values; times are Unix seconds, shares from 0 to 1."""
    return {
        "format": FORMAT,
        "at": overview.at,
        "status": overview.status,
        "alert_rules": overview.rules,
        "firing": sum(alert.state == "firing" for alert in overview.alerts),
        "alerts": [_alert(alert) for alert in overview.alerts[:MOST_ALERTS]],
        "alerts_left_out": max(0, len(overview.alerts) - MOST_ALERTS),
        "problems": [asdict(problem) for problem in overview.problems],
        "window_seconds": NOW_SECONDS,
        "before_seconds": BEFORE_SECONDS,
        "services": [_service(service) for service in overview.services[:MOST_SERVICES]],
        "services_left_out": max(0, len(overview.services) - MOST_SERVICES),
        "traces": {**overview.traces, "last_at": overview.last_trace_at},
        "scores": {"waiting": overview.waiting, "last_at": overview.last_score_at},
        "receivers": [_receiver(receiver) for receiver in overview.receivers],
        "journal": _journal(overview),
        "budgets": [
            {
                "judge": balance.limit.judge,
                "unit": balance.limit.unit,
                "window": balance.limit.window,
                "limit": balance.limit.amount,
                "spent": balance.spent,
                "reserved": balance.reserved,
                "remaining": balance.remaining,
            }
            for balance in overview.balances
        ],
        "rates": [asdict(rate) for rate in overview.rates],
    }


def _alert(alert: ActiveAlert) -> dict[str, Any]:
    return {**asdict(alert), "runbook": alert.runbook}


def _service(service: ServiceState) -> dict[str, Any]:
    return {
        "service": service.name,
        "state": service.state,
        **asdict(service.traffic),
        "judges": [_judge(judge) for judge in service.judges],
    }


def _judge(judge: JudgeState) -> dict[str, Any]:
    return {
        "judge": judge.judge,
        "tier": judge.tier,
        "state": judge.state,
        "threshold": judge.threshold,
        "now": _estimate(judge.now),
        "before": _estimate(judge.before),
    }


def _estimate(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    return {
        "tier": estimate.tier,
        "samples": estimate.samples,
        "pass_rate": estimate.pass_rate,
        "pass_rate_interval": estimate.pass_rate_interval,
        "mean_score": estimate.mean_score,
        "mean_score_interval": estimate.mean_score_interval,
        "unsure_rate": estimate.unsure_share,
    }


def _receiver(receiver: Receiver) -> dict[str, Any]:
    last, waiting = receiver.last, receiver.waiting
    return {
        "receiver": receiver.name,
        "outcome": last.outcome if last else None,
        "reason": (last.reason or last.problem) if last else "",
        "last_attempt_at": last.at if last else None,
        "last_sent_at": last.sent_at if last else None,
        "waiting": waiting.notifications if waiting else 0,
        "oldest_at": waiting.oldest_at if waiting else None,
    }


def _journal(overview: Overview) -> dict[str, Any] | None:
    if (journal := overview.journal) is None:
        return None
    free = journal.free_bytes
    return {**asdict(journal), "free_bytes": None if math.isinf(free) else free}
