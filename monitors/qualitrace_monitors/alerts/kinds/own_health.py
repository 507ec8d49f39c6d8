"""Rules on qualitrace itself: `budget_spent > 80%`, `judge_error_rate > 20%`, `freshness > 5m`, `backlog > 1000`.

They are facts, of the judge that the rule names, or of all of them. The alert's service is `qualitrace`.
"""

import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from qualitrace_collector.config.values import amount_text, duration_text
from qualitrace_collector.state import JudgeQueue, Ledger
from qualitrace_monitors.alerts.kinds.fact import Fact, exceeds
from qualitrace_monitors.alerts.kinds.kind import OWN_SERVICE, Kind, Look, Sources
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.judges.build import llm_queue

ERROR_WINDOW = 600.0
"""Seconds over which judges' errors are counted: a judge whose provider is down is asked once a minute or less."""
LEAST_CALLS = 5
"""Calls in that window: one that fails in a quiet night is not an outage."""
Measured = tuple[float | None, str]
"""A value, None if there is none, and the sentence with it."""


class OwnHealth(Kind):
    """Watches what the judges spend, how often they fail, and how far they are behind."""

    names = ("own_health",)

    def __init__(self, rules: Sequence[AlertRule], sources: Sources) -> None:
        super().__init__(rules, sources)
        self._calls = deque[tuple[float, Mapping[str, tuple[int, int]]]]()
        self._stepped_at = 0.0
        self._measures: Mapping[str, Callable[[AlertRule, float], Measured]] = {
            "budget_spent": self._budget_spent,
            "judge_error_rate": self._judge_error_rate,
            "freshness": self._freshness,
            "backlog": self._backlog,
        }

    def take(self, look: Look) -> None:
        """Note how many calls there were, and whether the clock was set."""
        if look.step:
            self._stepped_at = look.now
        self._calls.append((look.steady, self.sources.own.judge_calls()))
        while len(self._calls) > 1 and self._calls[1][0] <= look.steady - ERROR_WINDOW:
            self._calls.popleft()

    def find(self, connection: sqlite3.Connection, rule: AlertRule, now: float) -> Mapping[str, Fact]:
        """Return the rule's one fact."""
        value, sentence = self._measures[rule.when.quantity](rule, now)
        evidence = exceeds(rule, value)
        return {OWN_SERVICE: Fact(rule=rule, service=OWN_SERVICE, evidence=evidence, value=value, sentence=sentence)}

    def _budget_spent(self, rule: AlertRule, now: float) -> Measured:
        """Measure the limit that is nearest to being spent: those of the judge alone, or all."""
        spending = self.sources.own.spending
        balances = [b for b in (spending.balances(now) if spending else ()) if rule.judge in (None, b.limit.judge)]
        if not balances:
            return None, "there is no budget"
        shares = [(b.spent / b.limit.amount if b.limit.amount else 1.0, b) for b in balances]
        share, fullest = max(shares, key=lambda pair: pair[0])
        limit = fullest.limit
        unit = "USD" if limit.unit == "usd" else "tokens"
        whose = f"the budget of {limit.judge}" if limit.judge != "*" else "the budget of all judges"
        amounts = f"{amount_text(fullest.spent)} of {amount_text(limit.amount, 6)} {unit} this {limit.window}"
        return share, f"{share:.0%} of {whose} is spent: {amounts}"

    def _judge_error_rate(self, rule: AlertRule, now: float) -> Measured:
        before, after = self._calls[0][1], self._calls[-1][1]
        names = [name for name in after if rule.judge in (None, name)]
        scored, failed = (sum(after[n][i] - before.get(n, (0, 0))[i] for n in names) for i in (0, 1))
        calls, who = scored + failed, rule.judge or "judges"
        if calls < LEAST_CALLS:
            # Nobody asked a judge: nothing is known, and an outage that lasts is not a recovery.
            return None, f"fewer than {LEAST_CALLS} calls of {who} in {duration_text(ERROR_WINDOW)}"
        share = failed / calls
        return share, f"{share:.0%} of {calls} calls of {who} failed in the last {duration_text(ERROR_WINDOW)}"

    def _freshness(self, rule: AlertRule, now: float) -> Measured:
        """Measure for how long the oldest has waited, since the clock was set at most."""
        oldest = JudgeQueue(self.sources.database).oldest()
        waiting = {queue: at for queue, at in oldest.items() if _is_of(rule, queue)}
        if not waiting:
            return 0.0, f"no judgement {_by(rule)} waits"
        age = max(0.0, now - max(self._stepped_at, min(waiting.values())))
        return age, f"the oldest judgement {_by(rule)} has waited for {duration_text(round(age))}"

    def _backlog(self, rule: AlertRule, now: float) -> Measured:
        rows = Ledger(self.sources.database).totals()
        waiting = sum(row["total"] for row in rows if row["outcome"] == "queued" and _is_of(rule, row["judge"]))
        return float(waiting), f"{waiting:,} judgements {_by(rule)} wait"


def _is_of(rule: AlertRule, queue: str) -> bool:
    return rule.judge is None or queue in (rule.judge, llm_queue(rule.judge))


def _by(rule: AlertRule) -> str:
    return f"by {rule.judge}" if rule.judge else "by any judge"
