"""Rules on every request, judged or not: `error_rate > 5%`, `p95_duration > 5s`.

95 % of the requests are faster than 5 s exactly if at most 5 % are slower. So a percentile is a mean of zeros and ones,
as an error rate is, and the same detector keeps the same promise of `false_alarms`.
"""

import sqlite3
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qualitrace_collector.config.values import duration_text
from qualitrace_collector.state.requests import HOUR, Requests
from qualitrace_monitors.alerts.kinds.kind import Kind, Look, Sources
from qualitrace_monitors.alerts.kinds.watched import Watched, bet, change_text, promise_text, since_text
from qualitrace_monitors.alerts.new_requests import RequestGroup, take_requests
from qualitrace_monitors.alerts.rule_watch import LastRead, RuleWatch
from qualitrace_monitors.alerts.settings import AlertRule

TRACES_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFinding(Watched):
    """What the requests of a service show.

    Attributes:
        bad: addresses of the latest traces that are bad by the rule.
    """

    bad: Sequence[str]

    def fired(self) -> str:
        """Say what share of the requests is bad: `error rate 0.12 in about 93 requests since 14:05 UTC`."""
        rule, when = self.rule, self.rule.when
        if when.percentile is None:
            return f"requests of {self.service} fail: error rate {change_text(self.watched, 'requests')}"
        change = self.watched.change
        before = "" if change.before is None else f", before that {change.before:.1%}"
        return (
            f"{self._quantity} of {self.service} is above {duration_text(when.threshold)}: {change.mean:.1%} of "
            f"{since_text(change, 'requests')} took longer{before} ({when.limit:.0%} may, {promise_text(rule)})"
        )

    def recovered(self) -> str:
        """Say that the share is below the threshold again."""
        when = self.rule.when
        if when.percentile is None:
            shown = "" if self.value is None else f": error rate {self.value:.2f} in the last hour"
            return f"requests of {self.service} succeed again{shown} (threshold {when.threshold:g})"
        return f"{self._quantity} of {self.service} is below {duration_text(when.threshold)} again"

    def details(self, connection: sqlite3.Connection, now: float) -> str:
        """List the latest of the bad traces."""
        return "\nLatest of them:" + "".join(f"\n- {address}" for address in self.bad) if self.bad else ""

    @property
    def _quantity(self) -> str:
        percentile, _, name = self.rule.when.quantity.partition("_")
        return f"{percentile} {name.replace('_', ' ')}"


class RequestMeans(Kind):
    """Watches error rates and percentiles, with the promise of `false_alarms`."""

    names = ("requests",)

    def __init__(self, rules: Sequence[AlertRule], sources: Sources) -> None:
        super().__init__(rules, sources)
        self._read: dict[str, LastRead] = {rule.name: {} for rule in rules}
        self._bad: dict[tuple[str, str], deque[str]] = {}

    def take(self, look: Look) -> None:
        """Let the rules bet on the requests that came."""
        silence = min(rule.session_silence for rule in self.rules)
        has_more = True
        while has_more:
            with self.sources.database.transaction() as connection:
                requests, has_more = take_requests(connection, look.now, silence)
                for each in requests:
                    self._note(each)
                bets = (
                    (rule, made)
                    for each in requests
                    for rule in self.rules
                    if rule.covers(each.service) and (made := each.bet(rule))
                )
                bet(connection, bets, look.now)

    def _note(self, requests: RequestGroup) -> None:
        """Note which traces are bad: a few of the latest, by rule and service, since the start."""
        for rule in self.rules:
            if bad := requests.bad_traces(rule):
                self._bad.setdefault((rule.name, requests.service), deque(maxlen=TRACES_SHOWN)).extend(bad)

    def find(self, connection: sqlite3.Connection, rule: AlertRule, now: float) -> Mapping[str, RequestFinding]:
        """Return what the requests show, with the error rate of the last hour beside it."""
        watches = {watch.service: watch for watch in RuleWatch.all_of(connection, [rule], now, self._read[rule.name])}
        sums = {row["service"]: row for row in Requests.sums(connection, now - HOUR, now) if rule.is_of_services}
        return {
            service: self._finding(rule, service, watches.get(service), sums.get(service))
            for service in {*watches, *sums}
            if rule.covers(service)
        }

    def _finding(
        self, rule: AlertRule, service: str, watch: RuleWatch | None, sums: sqlite3.Row | None
    ) -> RequestFinding:
        requests = sums["requests"] if sums else 0
        has_rate = rule.when.percentile is None and requests
        return RequestFinding(
            rule=rule,
            service=service,
            evidence=watch.evidence if watch else "inconclusive",
            value=sums["errors"] / requests if sums and has_rate else None,
            samples=requests,
            watch=watch,
            bad=[self.sources.links.trace(trace_id) for trace_id in self._bad.get((rule.name, service), ())],
        )
