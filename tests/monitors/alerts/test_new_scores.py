"""What of a score reaches the rules."""

from collections.abc import Callable

from qualitrace_collector.pipeline.match import Match
from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.new_scores import SESSION_SCORES, take_bets

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


def test_a_rule_bets_once_on_its_part_of_a_session(database: Database, add_score: AddScore) -> None:
    """Of a session with answers of several routes a rule takes the mean over those that match, and others all of it."""
    for label, route, weight in (("fail", "/ask", 1.0), ("pass", "/ask/more", 0.5), ("pass", "/search", 0.25)):
        add_score(database, label, NOW, session="a", route=route, weight=weight)
    with database.transaction() as connection:
        [bet], _ = take_bets(connection, NOW + 400, 300)
    found = [bet.of(match and Match.model_validate(match)) for match in (None, {"route": "/ask*"}, {"route": "/x"})]
    assert found[2] is None
    assert [(each.passed, each.weight, each.of_session) for each in found if each] == [
        (0.75 / 1.75, 1.75 / 3, True),
        (0.5 / 1.5, 0.75, True),
    ]


def test_a_session_is_full_by_all_of_its_answers(database: Database, add_score: AddScore) -> None:
    """Twenty answers of twenty routes are a session that bets, and the next one begins another."""
    for number in range(SESSION_SCORES + 1):
        add_score(database, "pass", NOW, session="a", route=f"/{number}")
    with database.transaction() as connection:
        bets, _ = take_bets(connection, NOW, 300)
    assert [len(bet.parts) for bet in bets] == [SESSION_SCORES]
