"""What of a score reaches the rules."""

from collections.abc import Callable

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.new_scores import take_bets

NOW = 1_000_000.0
AddScore = Callable[..., str]


def test_a_bet_knows_the_traffic_that_it_is_of(database: Database, add_score: AddScore) -> None:
    """Model, release and so on come with it; what the trace does not name is left out."""
    add_score(database, "pass", NOW, release="2", route="/ask", model="m")
    with database.transaction() as connection:
        bets, _ = take_bets(connection, NOW, 300)
    assert [dict(bet.slices) for bet in bets] == [{"release": "2", "route": "/ask", "model": "m"}]


def test_a_session_is_of_the_traffic_that_all_its_answers_are_of(database: Database, add_score: AddScore) -> None:
    """A session that went through a deployment belongs to neither release."""
    for release in ("1", "2", "1"):
        add_score(database, "pass", NOW, session="a", release=release, model="m")
        add_score(database, "pass", NOW, session="b", release="2", model="m")
    with database.transaction() as connection:
        bets, _ = take_bets(connection, NOW + 400, 300)
    assert [dict(bet.slices) for bet in bets] == [{"model": "m"}, {"model": "m", "release": "2"}]
