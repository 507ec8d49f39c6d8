"""Simulated falls against the watch that a server has of one service."""

from typing import Any

import pytest

from qualitrace_monitors.alerts.new_scores import Bet
from qualitrace_monitors.alerts.rule_watch import RuleWatch
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.backtest import falls
from qualitrace_monitors.backtest.falls import NEW_BETS, FallDelays, Simulation, Stream

PER_SECOND = 0.1


def rule_with(**options: Any) -> AlertRule:
    """Make a rule."""
    return AlertRule.model_validate({"name": "low", "judge": "safety", "when": "pass_rate < 0.9"} | options)


def simulated(rule: AlertRule, rate: float, fall: float, **stream: Any) -> FallDelays:
    """Simulate one fall."""
    made = Stream(**{"scores_per_second": PER_SECOND, **stream})
    (found,) = Simulation(rule, made, rate).run([fall], lambda _: None)
    return found


def failing_answers(rule: AlertRule, good: int) -> int:
    """Return after how many failing answers a rule fires that has seen only good ones."""
    watch = RuleWatch(rule, "shop", 1)
    for number in range(good + 1_000):
        passed = float((number < good) == (rule.when.operator == "<"))
        at = number / PER_SECOND
        watch.take(
            Bet(judge="safety", tier="llm", version="1", service="shop", weight=1, value=passed, passed=passed,
                failed=1 - passed, at=at)
        )  # fmt: skip
        if watch.evidence == "established":
            return number + 1 - good
    raise AssertionError("it has not fired")


@pytest.mark.parametrize("options", [{}, {"share": "rule"}, {"when": "pass_rate > 0.2"}, {"false_alarms": "1% per 1d"}])
def test_a_new_service_that_fails_is_noticed_as_soon_as_by_a_server(options: dict[str, Any]) -> None:
    """In each of the streams: nothing is left to chance where all answers are good, and then none."""
    rule = rule_with(**options)
    found, expected = simulated(rule, 1.0, 1.0).new, failing_answers(rule, NEW_BETS)
    assert found
    assert (found.median, found.ninetieth, found.missed) == (expected, expected, 0)


@pytest.mark.slow
def test_what_a_service_was_makes_a_fall_seen_sooner() -> None:
    """A fall of ten points takes a service whose first thousand answers are known less than half as long."""
    found = simulated(rule_with(), 0.95, 0.1)
    assert found.known
    assert found.new
    assert found.known.median < found.new.median / 2
    assert found.known.median < found.known.ninetieth < 1_000


@pytest.mark.parametrize(
    ("options", "fall"),
    [({}, 0.05), ({"when": "drop > 0.05 from baseline"}, 0.05), ({"when": "pass_rate > 0.2"}, 0.1)],
)
def test_what_a_rule_allows_is_not_simulated(options: dict[str, Any], fall: float) -> None:
    """A rate at the threshold is on its good side."""
    found = simulated(rule_with(**options), 0.95, fall)
    assert (found.known, found.new) == (None, None)


def test_a_month_of_little_traffic_may_be_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not noticed within it is missed; a deeper fall is not."""
    monkeypatch.setattr(falls, "STREAMS", 100)
    slow = {"scores_per_second": 60 / falls.MONTH}
    shallow, deep = (simulated(rule_with(), 0.95, fall, **slow).new for fall in (0.1, 0.9))
    assert shallow
    assert deep
    assert (shallow.missed > 0.5, deep.missed) == (True, 0)


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_sessions_and_cascades_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of a session count once, and what a model checks a tenth of says less than what it checks all of."""
    monkeypatch.setattr(falls, "STREAMS", 100)
    alone = simulated(rule_with(), 0.95, 0.3).new
    sessions = simulated(rule_with(), 0.95, 0.3, sessions=5).new
    cascade = simulated(rule_with(tier="joined"), 0.95, 0.3, audited=0.1).new
    assert alone
    assert sessions
    assert cascade
    assert alone.median < sessions.median < 5 * alone.median
    assert alone.median < cascade.median
