"""Estimates from the score table: what counts, what it weighs, how unsure verdicts are bracketed."""

from collections.abc import Callable

import pytest
from scipy.stats import binomtest

from qualitrace_collector.state import Database
from qualitrace_monitors.estimate import counting
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.estimate.scores import SLICE_VALUES

NOW = 1_000_020.0
"""The beginning of a minute."""

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
    """Whole minutes count, and a trace picked after the fact (probability 0) is left out."""
    for at in (NOW - 61, NOW + 60):
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


def test_a_sessions_answers_count_as_one(database: Database, add_score: AddScore, estimator: Estimator) -> None:
    """Ten sessions of four equal answers are ten answers, also where a session goes on beyond an hour."""
    for number in range(10):
        for answer in range(4):
            label = "fail" if number == 0 else "pass"
            add_score(database, label, NOW - 900 * answer - number, session=f"s{number}")
    [estimate] = estimator.estimates(NOW, 7200)
    exact = binomtest(9, 10).proportion_ci(0.95, method="exact")
    assert (estimate.samples, estimate.effective_samples) == (40, pytest.approx(10))
    assert estimate.pass_rate_interval == pytest.approx((exact.low, exact.high), abs=1e-6)


def test_always_judged_scores_alone_say_nothing(database: Database, add_score: AddScore, estimator: Estimator) -> None:
    """Twenty errors are judged, each as it comes; of the other traffic 1 % would be, and none was yet."""
    for _ in range(20):
        add_score(database, "fail", NOW, least_probability=0.01)
    [estimate] = estimator.estimates(NOW, 60)
    assert estimate.pass_rate_interval[1] > 0.95


def test_quality_is_told_apart_by_release_and_judge_version(
    database: Database, add_score: AddScore, estimator: Estimator
) -> None:
    """Which release is worse is in the numbers of each; a score without one is in none."""
    for release, label in (("1.4", "pass"), ("1.4", "pass"), ("1.5", "fail"), ("", "fail")):
        add_score(database, label, NOW, release=release, version="7")
    found = [(value, one.samples, one.pass_rate) for value, one in estimator.slices("release", NOW, 60)]
    assert found == [("1.4", 2, 1.0), ("1.5", 1, 0.0)]
    [(version, one)] = estimator.slices("version", NOW, 60, judge="groundedness", service="shop")
    assert (version, one.samples) == ("7", 4)


def test_a_service_may_have_so_many_routes(database: Database, add_score: AddScore, estimator: Estimator) -> None:
    """A client that makes them up fills one row, and no other service's."""
    for number in range(SLICE_VALUES + 5):
        add_score(database, "pass", NOW, route=f"/{number}")
    add_score(database, "pass", NOW, route="/0")
    add_score(database, "pass", NOW, route="/new", service="faq")
    found = {(one.service, value): one.samples for value, one in estimator.slices("route", NOW, 60)}
    assert len(found) == SLICE_VALUES + 2
    assert (found["shop", "other"], found["shop", "/0"], found["faq", "/new"]) == (5, 2, 1)


def test_an_endless_session_is_linked_in_parts(
    database: Database, add_score: AddScore, estimator: Estimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that all traffic shares is not a session; the work for each score stays bounded."""
    monkeypatch.setattr(counting, "SESSION_SCORES", 10)
    for number in range(35):
        add_score(database, "pass", NOW + number / 100, session="all")
    [estimate] = estimator.estimates(NOW + 1, 60)
    assert estimate.effective_samples == pytest.approx(35**2 / (3 * 10**2 + 5**2))
