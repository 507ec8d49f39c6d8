"""Estimates from the score table: what counts, what it weighs, how unsure verdicts are bracketed."""

from collections.abc import Callable

import pytest
from scipy.stats import binomtest

from qualitrace_collector.state import Database
from qualitrace_monitors.estimate.estimator import Estimator

NOW = 1_000_000.0
AddScore = Callable[..., str]


@pytest.fixture
def estimator(database: Database) -> Estimator:
    """Provide an estimator over the test's database."""
    return Estimator(database)


def test_scores_weigh_by_their_inclusion_probability(
    database: Database, add_score: AddScore, estimator: Estimator
) -> None:
    """A pass of weight 1, a fail of weight 4 and an unsure one of weight 2 give the shares computed by hand."""
    add_score(database, "pass", NOW, value=0.9, inclusion_probability=1.0)
    add_score(database, "fail", NOW, value=0.1, inclusion_probability=0.25)
    add_score(database, "unsure", NOW, value=0.5, inclusion_probability=0.5)
    [estimate] = estimator.estimates(NOW, 60)
    assert estimate.samples == 3
    assert estimate.pass_rate == pytest.approx(1 / 5)
    assert estimate.unsure_share == pytest.approx(2 / 7)
    assert estimate.mean_score == pytest.approx((0.9 + 4 * 0.1 + 2 * 0.5) / 7)
    assert estimate.effective_samples == pytest.approx(7**2 / (1 + 16 + 4))


def test_only_the_window_and_planned_samples_count(
    database: Database, add_score: AddScore, estimator: Estimator
) -> None:
    """The window is (now - window, now], and a trace picked after the fact (probability 0) is left out."""
    for at in (NOW - 60, NOW + 1):
        add_score(database, "fail", at)
    add_score(database, "fail", NOW, inclusion_probability=0.0)
    assert estimator.estimates(NOW, 60) == []
    add_score(database, "pass", NOW)
    add_score(database, "pass", NOW - 59)
    [estimate] = estimator.estimates(NOW, 60)
    assert (estimate.samples, estimate.pass_rate) == (2, 1.0)


def test_each_judge_tier_and_service_is_estimated_alone(
    database: Database, add_score: AddScore, estimator: Estimator
) -> None:
    """Groups come in order, and the filters pick among them."""
    for judge, tier, service in (
        ("safety", "local", "shop"),
        ("relevance", "llm", "shop"),
        ("relevance", "local", "shop"),
        ("relevance", "local", "faq"),
    ):
        add_score(database, "pass", NOW, judge=judge, tier=tier, service=service)

    def keys(**filters: str) -> list[tuple[str, str, str]]:
        return [(e.judge, e.tier, e.service) for e in estimator.estimates(NOW, 60, **filters)]

    relevance = [("relevance", "llm", "shop"), ("relevance", "local", "faq"), ("relevance", "local", "shop")]
    assert keys() == [*relevance, ("safety", "local", "shop")]
    assert keys(judge="relevance") == relevance
    assert keys(judge="relevance", service="faq") == [("relevance", "local", "faq")]


def test_unsure_verdicts_widen_the_interval_on_both_sides(
    database: Database, add_score: AddScore, estimator: Estimator
) -> None:
    """With 20 passes, 5 fails and 10 unsure the bounds are those of 20 in 35 and of 30 in 35 passes."""
    for label, count in (("pass", 20), ("fail", 5), ("unsure", 10)):
        for _ in range(count):
            add_score(database, label, NOW)
    [estimate] = estimator.estimates(NOW, 60, confidence=0.9)
    low = binomtest(20, 35).proportion_ci(0.9, method="exact").low
    high = binomtest(30, 35).proportion_ci(0.9, method="exact").high
    assert estimate.pass_rate == pytest.approx(20 / 25)
    assert estimate.pass_rate_interval == pytest.approx((low, high))
    assert (estimate.confidence, estimate.window) == (0.9, 60)


def test_only_unsure_verdicts_give_no_pass_rate(database: Database, add_score: AddScore, estimator: Estimator) -> None:
    """Without a single verdict the pass rate is None, and its interval is everything."""
    for probability in (0.3, 0.7, 1.0):
        add_score(database, "unsure", NOW, inclusion_probability=probability)
    [estimate] = estimator.estimates(NOW, 60)
    assert estimate.pass_rate is None
    assert estimate.pass_rate_interval == (0.0, 1.0)
    assert estimate.unsure_share == pytest.approx(1.0)


def test_a_quantity_is_found_by_the_name_that_rules_use(
    database: Database, add_score: AddScore, estimator: Estimator
) -> None:
    """`pass_rate` and `mean_score` name different numbers of one estimate."""
    add_score(database, "pass", NOW, value=0.75)
    [estimate] = estimator.estimates(NOW, 60)
    assert estimate.quantity("pass_rate") == (1.0, estimate.pass_rate_interval)
    assert estimate.quantity("mean_score") == (0.75, estimate.mean_score_interval)
