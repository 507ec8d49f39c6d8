"""An interval from a fixed start holds at every look, at the cost of some width."""

from collections.abc import Callable

import numpy as np
import pytest

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.new_scores import take_bets
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.estimate.scores import prune
from qualitrace_monitors.estimate.sequence import MOST_RELEASES, interval, log_evidence

NOW = 1_700_002_800.0
AddScore = Callable[..., str]


def bet(database: Database, now: float = NOW + 10_000) -> None:
    with database.transaction() as connection:
        take_bets(connection, now, silence=300)


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.02)])
@pytest.mark.parametrize("rate", [0.5, 0.85, 0.99])
def test_it_holds_at_every_look(rate: float, weights: tuple[float, ...]) -> None:
    """Of 400 streams at most 5 % miss the truth at any of 1,000 looks; an interval for one look misses in most."""
    random, streams, looks = np.random.default_rng(20261127), 400, 1000
    weight, total, missed = np.zeros(streams), np.zeros(streams), np.zeros(streams, dtype=bool)
    for _ in range(looks):
        relative = random.choice(weights, streams)
        weight += relative
        total += relative * (random.random(streams) < rate)
        missed |= np.asarray(log_evidence(rate, weight, total)) >= np.log(2 / 0.05)
    assert missed.mean() <= 0.05


def test_the_ends_are_where_the_evidence_reaches_the_limit() -> None:
    """It contains the mean, and shrinks as scores come; without a fail it still has a lower end."""
    lower, upper = interval(200.0, 170.0, 0.95)
    assert lower < 0.85 < upper
    assert log_evidence(lower, 200.0, 170.0) == pytest.approx(np.log(40))
    assert log_evidence(upper, 200.0, 170.0) == pytest.approx(np.log(40))
    assert 0.9 < interval(100.0, 100.0, 0.95)[0] < interval(100.0, 100.0, 0.95)[1] == 1.0


def test_it_begins_with_the_newest_release(database: Database, add_score: AddScore) -> None:
    """What an earlier release did says nothing about this one; a session counts once, when it is over."""
    for number in range(30):
        add_score(database, "fail", NOW + number, release="1.4")
    for number in range(10):
        for _ in range(3):
            add_score(database, "pass", NOW + 100 + number, release="1.5", session=f"s{number}")
    bet(database)
    [since] = Estimator(database).sequences()
    assert (since.release, since.values, since.pass_rate) == ("1.5", 10, 1.0)
    assert since.began_at == pytest.approx(NOW + 100, abs=10)
    assert since.pass_rate_interval == interval(10.0, 10.0, 0.95)
    [everything] = Estimator(database).sequences(since=NOW)
    assert (everything.values, everything.pass_rate) == (40, 0.25)


def test_unsure_scores_widen_it(database: Database, add_score: AddScore) -> None:
    """The lower end counts them as fails, the upper as passes."""
    for label in ("pass", "unsure") * 10:
        add_score(database, label, NOW)
    bet(database)
    [since] = Estimator(database).sequences()
    assert since.pass_rate == 1.0
    assert since.pass_rate_interval == (interval(20.0, 10.0, 0.95)[0], 1.0)


def test_a_release_that_lives_keeps_its_first_scores(database: Database, add_score: AddScore) -> None:
    """A start that moved on would not be fixed; a release that is gone is forgotten."""
    add_score(database, "pass", NOW, release="old", service="faq")
    for hour in range(4):
        add_score(database, "pass", NOW + 3600 * hour, release="1")
    bet(database, NOW + 20_000)
    prune(database, NOW + 2 * 3600)
    [since] = Estimator(database).sequences()
    assert (since.service, since.values, since.began_at) == ("shop", 4, NOW)


def test_names_of_releases_that_a_client_makes_up_are_bounded(database: Database, add_score: AddScore) -> None:
    """The newest ones of each service stay."""
    add_score(database, "pass", NOW, release="1", service="faq")
    for number in range(MOST_RELEASES + 5):
        add_score(database, "pass", NOW + number, release=f"{number:03}")
    bet(database)
    prune(database, NOW - 3600)
    kept = database.rows("SELECT service, min(release) AS oldest, count(*) AS releases FROM bet_hour GROUP BY service")
    assert [tuple(row) for row in kept] == [("faq", "1", 1), ("shop", "005", MOST_RELEASES)]
