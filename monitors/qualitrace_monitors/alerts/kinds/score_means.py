"""Rules on the scores of a judge: `pass_rate < 0.9`, `drop > 0.05 from baseline`, `drop > 0.05 from control`.

They bet on each answer, or session, and keep the promise of `false_alarms`.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from qualitrace_collector.config.values import duration_text
from qualitrace_monitors.alerts.failing_answers import failing_answers
from qualitrace_monitors.alerts.kinds.kind import Kind, Look, Sources
from qualitrace_monitors.alerts.kinds.watched import Watched, bet, change_text, limit_text
from qualitrace_monitors.alerts.new_scores import Bet, take_bets
from qualitrace_monitors.alerts.rule_watch import LastRead, RuleWatch
from qualitrace_monitors.alerts.settings import SESSION_SILENCE, AlertRule
from qualitrace_monitors.alerts.slices import Measure, ScoresOf, explanation, parts_of_change
from qualitrace_monitors.estimate.estimator import JOINED, Estimate
from qualitrace_monitors.notify.payload import Links


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreFinding(Watched):
    """What the scores of a judge on a service show."""

    links: Links

    def fired(self) -> str:
        """Say what changed: `pass rate 0.71 in about 93 answers since 14:05 UTC, was 0.95`."""
        rule, words = self.rule, _words(self.rule)
        if rule.when.reference == "control":
            where = f"{rule.judge} of {self.service} is worse with {rule.canary} than with {rule.control}"
            return f"{where}: {words} differs by {change_text(self.watched, 'pairs of answers', signed=True)}"
        verb = "fell" if rule.when.operator == "<" else "rose"
        return f"{rule.judge} of {self.service} {verb}: {words} {change_text(self.watched, 'answers')}"

    def recovered(self) -> str:
        """Say that the values since show it, and what the estimate is, whose window may still hold the fall."""
        rule = self.rule
        if rule.when.reference == "control":
            return f"{rule.judge} of {self.service} is as good with {rule.canary} as with {rule.control} ({rule.when})"
        period = duration_text(rule.window)
        shown = "" if self.value is None else f": {_words(rule)} {self.value:.2f} over the last {period}"
        return f"{rule.judge} of {self.service} recovered{shown} ({limit_text(rule)})"

    def details(self, connection: sqlite3.Connection, now: float) -> str:
        """Name what of the traffic explains the change, and show some of the worst answers."""
        rule, since = self.rule, self.watched.change.since - 1.0  # a mean of times, which may be rounded up
        tier = "llm" if self.tier == JOINED else self.tier  # what it finds is what the model finds
        scores = ScoresOf(rule.judge or "", tier, self.service, partial(_is_of, rule))
        examples = failing_answers(connection, scores, since, now, self.links, _worst_first(rule))
        lines = f"\nWorst answers:{examples}" if examples else ""
        if rule.when.reference == "control":  # the canary is what changed
            return lines
        change = parts_of_change(connection, scores, since, now, _measure(rule), fell=rule.when.operator == "<")
        return explanation(change, rule.when.quantity) + lines


class ScoreMeans(Kind):
    """Watches pass rates, mean scores and shares of unsure verdicts, with the promise of `false_alarms`."""

    names = ("scores", "control")

    takes_always = True  # the intervals since a release rest on the bets; without a rule scores would wait for ever

    def __init__(self, rules: Sequence[AlertRule], sources: Sources) -> None:
        super().__init__(rules, sources)
        self._read: dict[str, LastRead] = {rule.name: {} for rule in rules}

    def take(self, look: Look) -> None:
        """Let the rules bet on the scores that came."""
        silence = min((rule.session_silence for rule in self.rules), default=SESSION_SILENCE)
        has_more = True
        while has_more:
            with self.sources.database.transaction() as connection:
                bets, has_more = take_bets(connection, look.now, silence)
                bet(connection, offered(self.rules, bets), look.now)

    def find(self, connection: sqlite3.Connection, rule: AlertRule, now: float) -> Mapping[str, ScoreFinding]:
        """Return what the scores show, with the estimate over the rule's window beside it."""
        estimates = self._estimates(rule, now)
        watches = {watch.service: watch for watch in RuleWatch.all_of(connection, [rule], now, self._read[rule.name])}
        return {
            service: self._finding(rule, service, watches.get(service), estimates.get(service, {}))
            for service in {*estimates, *watches}
        }

    def _estimates(self, rule: AlertRule, now: float) -> Mapping[str, Mapping[str, Estimate]]:
        """Return the estimates of each service, by tier; none for a rule about a part of the traffic."""
        found: dict[str, dict[str, Estimate]] = {}
        estimates = self.sources.estimator.estimates(now, rule.window, judge=rule.judge) if rule.is_of_services else ()
        for estimate in filter(lambda each: rule.covers(each.service), estimates):
            found.setdefault(estimate.service, {})[estimate.tier] = estimate
        return found

    def _finding(
        self, rule: AlertRule, service: str, watch: RuleWatch | None, estimates: Mapping[str, Estimate]
    ) -> ScoreFinding:
        estimate = estimates.get(watch.tier) if watch else next(iter(estimates.values()), None)
        value, interval = estimate.quantity(rule.when.score_quantity) if estimate else (None, None)
        if rule.when.reference == "control":  # a rate of the whole service says nothing about the difference
            value, interval = None, None
        return ScoreFinding(
            rule=rule,
            service=service,
            evidence=watch.evidence if watch else "inconclusive",
            value=value,
            interval=interval,
            samples=estimate.samples if estimate else 0,
            tier=watch.tier if watch else "",
            watch=watch,
            links=self.sources.links,
        )


def offered(rules: Collection[AlertRule], bets: Iterable[Bet]) -> Iterator[tuple[AlertRule, Bet]]:
    """Yield the bets of each rule's judge on the traffic that it is about."""
    for made in bets:
        for rule in rules:
            if rule.judge == made.judge and rule.covers(made.service) and (part := made.of(rule.match)) is not None:
                yield rule, part


def _words(rule: AlertRule) -> str:
    return rule.when.quantity.replace("_", " ")


def _is_of(rule: AlertRule, row: sqlite3.Row) -> bool:
    """Whether a score is one that the rule watches."""
    find = dict(row).get
    return all(match is None or match.holds(find) for match in (rule.match, rule.canary))


def _measure(rule: AlertRule) -> Measure:
    """Return how a score counts: what is unsure counts for the service, as in the rule's bets."""
    if rule.when.quantity == "mean_score":
        return lambda row: row["value"]
    if rule.when.quantity == "unsure_rate":
        return lambda row: float(row["label"] == "unsure")
    return lambda row: float(row["label"] == "pass" if rule.when.operator == ">" else row["label"] != "fail")


def _worst_first(rule: AlertRule) -> str:
    if rule.when.quantity == "unsure_rate":
        return "AND label = 'unsure' ORDER BY value, score.completed_at DESC"
    return f"ORDER BY value {'' if rule.when.operator == '<' else 'DESC'}, score.completed_at DESC"
