"""What the last hour is compared with is made once a minute."""

from collections.abc import Callable

from qualitrace_collector.state import Database
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.overview.day_before import DayBefore

NOW = 1_000_020.0  # a whole minute


def test_it_is_made_once_a_minute(database: Database, add_scores: Callable[..., None]) -> None:
    """Of the day that ended an hour ago; what changed since is seen in the next minute."""
    day_before = DayBefore(Estimator(database))
    add_scores(database, [True], NOW - 7_200)
    add_scores(database, [False] * 5, NOW - 60)
    add_scores(database, [False] * 5, NOW - 91_000)
    [first] = day_before.estimates(NOW)
    assert (first.samples, first.pass_rate) == (1, 1.0)
    add_scores(database, [False], NOW - 7_200)
    assert day_before.estimates(NOW + 59) == [first]
    [second] = day_before.estimates(NOW + 60)
    assert (second.samples, second.pass_rate) == (2, 0.5)
