"""How many calls of a provider run at once."""

from hypothesis import given
from hypothesis import strategies as st

from qualitrace_monitors.judging.calls import Concurrency, Failures


def test_calls_at_once_grow_while_latency_stays() -> None:
    """The limit doubles in about its own number of rounds and ends at the most that is allowed."""
    concurrency = Concurrency(4, 10)
    for _ in range(4):
        concurrency.answered(0.1)
    assert concurrency.limit == 4  # 4 + 1/4 + … is just below 5
    for _ in range(200):
        concurrency.answered(0.1)
    assert concurrency.limit == 10


def test_congestion_halves_the_limit_once_for_all_calls_in_flight() -> None:
    """Eight refusals of calls begun together halve once; one of a later call halves again; one call stays."""
    concurrency = Concurrency(16, 64)
    for began in (0.0, 0.1, 0.2):
        concurrency.congested(began, now=1.0)
    assert concurrency.limit == 8
    for began in (2.0, 3.0, 4.0, 5.0, 6.0):
        concurrency.congested(began, now=began + 0.5)
    assert concurrency.limit == 1


def test_latency_that_doubles_shrinks_the_limit() -> None:
    """A provider that slows down under the load gets fewer calls, without any error."""
    concurrency = Concurrency(16, 64)
    for _ in range(50):
        concurrency.answered(0.1)
    grown = concurrency.limit
    for _ in range(200):
        concurrency.answered(0.5)
    assert grown > 16
    assert concurrency.limit < grown


@given(st.lists(st.one_of(st.floats(0, 100).map(lambda s: ("ok", s)), st.floats(0, 100).map(lambda s: ("no", s)))))
def test_the_limit_stays_within_its_bounds(events: list[tuple[str, float]]) -> None:
    """Whatever happens, at least one call may run and never more than allowed."""
    concurrency = Concurrency(8, 64)
    for kind, seconds in events:
        if kind == "ok":
            concurrency.answered(seconds)
        else:
            concurrency.congested(seconds, seconds + 1)
        assert 1 <= concurrency.limit <= 64


def test_a_judge_fails_always_from_its_first_call_or_three_times_in_a_row():
    """One that has given verdicts may fail now and then; the next verdict makes up for it."""
    failures = Failures()
    assert failures.problem("tone") == ""
    failures.failed("tone")
    assert failures.problem("tone") == "it gave no verdict 1 times in a row: see the log"
    failures.answered("tone")
    for expected in ("", "", "it gave no verdict 3 times in a row: see the log"):
        failures.failed("tone")
        assert failures.problem("tone") == expected
    assert failures.problem("relevance") == ""
    failures.answered("tone")
    assert failures.problem("tone") == ""
