"""The pages `/alerts`, rules with their states and history, and `/alerts/event/N`, all of one firing."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from qualitrace_monitors.alerts.kinds.watched import promise_text
from qualitrace_monitors.alerts.listing import ListedAlert, evidence_of, statuses
from qualitrace_monitors.alerts.status import STATES
from qualitrace_monitors.notify import history
from qualitrace_monitors.notify.receiver import DeliveryFailed
from qualitrace_monitors.notify.trial import send_test
from qualitrace_monitors.overview.alerts import runbook_of
from qualitrace_monitors.web.page import Action, BadQuery, NotFound, Page, PageRequest, Sources
from qualitrace_monitors.web.trials import DAYS, TrialRefused

ALERTS, EVENTS, RULES = 100, 25, 100
"""Shown at once."""
LONGEST_NAME, LONGEST_OUTCOME = 300, 600

_KEY = secrets.token_bytes(16)
"""Marks what this process says in an address about a test: others cannot put their words on the page by a link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filter:
    rule: str
    service: str
    state: str
    before: int | None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "_Filter":
        state = query.get("state", "")
        if state and state not in STATES:
            raise BadQuery(f"state must be one of {', '.join(STATES)} (got {state[:40]!r})")
        before = query.get("before", "")
        if before and not (before.isascii() and before.isdecimal() and len(before) < 16):
            raise BadQuery(f"before must be the number of an event (got {before[:40]!r})")
        return cls(
            rule=query.get("rule", "")[:LONGEST_NAME],
            service=query.get("service", "")[:LONGEST_NAME],
            state=state,
            before=int(before) if before else None,
        )

    def admits(self, alert: ListedAlert) -> bool:
        return self.rule in ("", alert.rule) and self.service in ("", alert.service) and self.state in ("", alert.state)


def _alerts(sources: Sources, request: PageRequest) -> Mapping[str, Any]:
    asked = _Filter.of(request.query)
    rules = {rule.name: rule for rule in sources.alerts.rules}
    now = sources.clock()
    connection = sources.database.connection()
    listed = [alert for alert in statuses(connection, rules) if asked.admits(alert)]
    shown = [evidence_of(connection, rules[alert.rule], alert, now) for alert in listed[:ALERTS]]
    events = history.events(sources.database, EVENTS + 1, rule=asked.rule, service=asked.service, before=asked.before)
    return {
        "asked": asked,
        "states": STATES,
        "rules": [*rules.values()][:RULES],
        "rule_of": rules,
        "more_rules": max(0, len(rules) - RULES),
        "promise_text": promise_text,
        "alerts": shown,
        "more_alerts": max(0, len(listed) - ALERTS),
        "events": events[:EVENTS],
        "next_before": events[EVENTS - 1].number if len(events) > EVENTS else None,
        "receivers": [*sources.config.notify],
        "trial": sources.trials.last,
        "trial_days": DAYS,
        "tried": _tried(request.query),
    }


def _tried(query: Mapping[str, str]) -> str:
    """Return what came of a test, as the address after it says; empty if no test of this process led there."""
    said = query.get("tried", "")
    return said if hmac.compare_digest(_mark(said), query.get("mark", "").encode()) else ""


def _mark(text: str) -> bytes:
    return hmac.new(_KEY, text.encode(), hashlib.sha256).hexdigest().encode()


def _event(sources: Sources, request: PageRequest) -> Mapping[str, Any]:
    number = request.parts[-1]
    known = number.isascii() and number.isdecimal() and len(number) < 16
    event = history.event(sources.database, int(number)) if known else None
    if event is None:
        raise NotFound(f"There is no alert number {number[:40]}; the last {history.MOST_EVENTS} of 30 days are kept.")
    rule = next((rule for rule in sources.alerts.rules if rule.name == event.rule), None)
    return {
        "event": event,
        "rule": rule,
        "runbook": runbook_of(rule.when.quantity) if rule else "",
        "page": sources.links.page(event.service, event.judge, event.began_at).removeprefix(sources.links.web),
    }


def _test(sources: Sources, fields: Mapping[str, str]) -> str:
    name = fields.get("receiver", "")
    receiver = sources.config.notify.get(name)
    if receiver is None:
        raise BadQuery(f"there is no receiver named {name[:LONGEST_NAME]!r} under notify")
    try:
        answer = send_test(name, receiver, sources.links, sources.clock())
    except DeliveryFailed as failure:
        outcome = f"did not take it: {failure.problem}; the log says more"
    else:
        outcome = f"took it{f', but: {answer.problem}' if answer.problem else ''}"
    said = f"{name} {outcome}"[:LONGEST_OUTCOME]
    return f"/alerts?{urlencode({'tried': said, 'mark': _mark(said).decode()})}#receivers"


def _backtest(sources: Sources, fields: Mapping[str, str]) -> str:
    try:
        sources.trials.start(fields.get("rule", ""), sources.clock())
    except TrialRefused as refusal:
        raise BadQuery(str(refusal)) from None
    return "/alerts#backtest"


PAGE = Page("/alerts", "alerts.html", _alerts, "Alerts")
EVENT_PAGE = Page("/alerts/event/{number}", "event.html", _event)
TEST = Action("/alerts/test", _test)
BACKTEST = Action("/alerts/backtest", _backtest)
