"""Rules that compare a fact with a threshold: costs, silence, qualitrace itself."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from qualitrace_collector.sample import Sample
from qualitrace_collector.state import Database, JudgeQueue, JudgeTask
from qualitrace_collector.state.requests import Request, Requests
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.alerts.kinds.kind import OwnState
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.budget.spending import Spending
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.judges.contract import Usage
from qualitrace_monitors.judges.settings import Budget, JudgeConfig
from qualitrace_monitors.notify.payload import Links

NOW = 1_700_000_000.0
HOUR, DAY = 3600.0, 86_400.0
AddScore = Callable[..., str]


def engine_on(database: Database, when: str, own: OwnState | None = None, **options: Any) -> AlertEngine:
    rule = AlertRule.model_validate({"name": "rule", "when": when, "notify": ["ops"], **options})
    return AlertEngine([rule], database, Estimator(database), Links("http://127.0.0.1:9464"), own)


def put(database: Database, at: float, service: str = "shop", *, usd: float = 0.0, tokens: float = 0.0) -> None:
    request = Request(
        trace_id="tr-1", service=service, session="", error=False, seconds=1.0, first_token=None, tokens=tokens,
        usd=usd, slices={},
    )  # fmt: skip
    with database.transaction() as connection:
        Requests.put(connection, [request], at)


def judged(judge: str | None) -> dict[str, Any]:
    """Return what a rule says that names a judge."""
    return {"judge": judge} if judge else {}


def states(engine: AlertEngine) -> dict[str, str]:
    return {status.service: status.state for _, status in engine.statuses()}


def summaries(database: Database) -> list[str]:
    rows = database.connection().execute("SELECT body FROM outbox ORDER BY sequence")
    return [json.loads(row["body"])["commonAnnotations"]["summary"] for row in rows]


@pytest.mark.parametrize(
    ("when", "spent", "fired", "resolved"),
    [
        (
            "cost_per_hour > 3",
            {"usd": 2.0},
            "shop spent 4 USD in the last hour (threshold 3 USD, without a promise about false alarms)",
            "shop spent 0 USD in the last hour (threshold 3 USD)",
        ),
        (
            "tokens_per_hour > 1000000",
            {"tokens": 600_000.0},
            "shop took 1,200,000 tokens in the last hour (threshold 1,000,000, without a promise about false alarms)",
            "shop took 0 tokens in the last hour (threshold 1,000,000)",
        ),
    ],
)
def test_what_an_hour_costs_fires_and_resolves(
    when: str, spent: dict[str, float], fired: str, resolved: str, database: Database
) -> None:
    """By the sum of the last hour of each service; it resolves also when nothing comes any more."""
    engine = engine_on(database, when)
    put(database, NOW, "shop", **spent)
    put(database, NOW, "faq", usd=0.01)
    engine.evaluate(NOW)
    assert states(engine) == {"shop": "inactive", "faq": "inactive"}
    put(database, NOW + 60, "shop", **spent)
    engine.evaluate(NOW + 60)
    assert states(engine) == {"shop": "firing", "faq": "inactive"}
    engine.evaluate(NOW + HOUR + 300)
    assert states(engine)["shop"] == "inactive"
    assert summaries(database) == [fired, resolved]


def test_a_cost_keeps_firing_for_as_long_as_its_rule_says(database: Database) -> None:
    """A sum that goes back and forth across its threshold is one alert."""
    engine = engine_on(database, "cost_per_hour > 3", keep_firing_for="30m")
    put(database, NOW, usd=4)
    engine.evaluate(NOW)
    engine.evaluate(NOW + 2 * HOUR)
    assert states(engine) == {"shop": "inactive"}
    put(database, NOW + 2 * HOUR, usd=4)
    engine.evaluate(NOW + 2 * HOUR)
    engine.evaluate(NOW + 3 * HOUR - 60)
    engine.evaluate(NOW + 3 * HOUR + 120)
    assert states(engine) == {"shop": "firing"}


def test_a_clock_that_steps_back_counts_no_cost_twice(database: Database) -> None:
    """Two dollars an hour stay two dollars, although the clock comes by the same hours again."""
    engine = engine_on(database, "cost_per_hour > 3")
    for minute in range(180):
        put(database, NOW + 60 * minute, usd=2 / 60)
    engine.evaluate(NOW + 180 * 60, 0.0)
    for minute in range(60, 180):
        put(database, NOW + 60 * minute, usd=2 / 60)
        engine.evaluate(NOW + 60 * minute, 60.0 * minute)
    assert summaries(database) == []


@pytest.fixture(params=["no_requests for 15m", "no_scores for 15m"])
def silent_rule(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A rule on silence; `no_scores` names its judge."""
    return {"when": request.param} | ({"judge": "groundedness"} if "scores" in request.param else {})


@pytest.fixture
def come(silent_rule: dict[str, Any], database: Database, add_score: AddScore) -> Callable[..., None]:
    """Let a score, or a request, come."""

    def arrive(at: float, service: str = "shop") -> None:
        if "judge" in silent_rule:
            add_score(database, "pass", at, service=service)
        else:
            put(database, at, service)

    return arrive


def run(engine: AlertEngine, start: float, seconds: float, steady: float = 0.0) -> None:
    """Evaluate every minute."""
    for passed in range(0, int(seconds) + 1, 60):
        engine.evaluate(start + passed, steady + passed)


def test_silence_fires_and_resolves(silent_rule: dict[str, Any], come: Callable[..., None], database: Database) -> None:
    """Of the service that is silent, when it was heard before; the text says since when."""
    engine = engine_on(database, **silent_rule)
    come(NOW)
    run(engine, NOW, 840)
    come(NOW + 840, "faq")
    assert states(engine) == {"shop": "inactive"}
    run(engine, NOW + 900, 60, 900)
    assert states(engine) == {"shop": "firing", "faq": "inactive"}
    come(NOW + 970)
    engine.evaluate(NOW + 980, 980)
    assert states(engine) == {"shop": "inactive", "faq": "inactive"}
    fired, resolved = summaries(database)
    what = "score by groundedness on shop" if "judge" in silent_rule else "request to shop"
    assert fired == (
        f"no {what} for 15m, the last one was at 2023-11-14 22:13 UTC "
        "(threshold 15m, without a promise about false alarms)"
    )
    assert resolved == f"there is a {what} again, the last one was at 2023-11-14 22:29 UTC (threshold 15m)"


@pytest.mark.parametrize("step", [2 * HOUR, -2 * HOUR])
def test_a_clock_that_steps_makes_no_silence_and_hides_none(
    step: float, silent_rule: dict[str, Any], come: Callable[..., None], database: Database
) -> None:
    """Two hours forward or back: no alarm by it, and a real silence fires after its time, and ends."""
    engine = engine_on(database, **silent_rule)
    come(NOW)
    engine.evaluate(NOW, 0)
    run(engine, NOW + step + 60, 780, 60)
    assert summaries(database) == []
    run(engine, NOW + step + 900, 60, 900)
    assert states(engine) == {"shop": "firing"}
    come(NOW + 1000)  # the clock is right again
    engine.evaluate(NOW + 1000, 1000)
    assert states(engine) == {"shop": "inactive"}


def test_a_wait_for_for_is_not_cut_short_or_drawn_out_by_the_clock(database: Database) -> None:
    """Five minutes of `for` are five minutes, whatever the clock does meanwhile; and so is `keep_firing_for`."""
    options: dict[str, Any] = {"for": "5m", "keep_firing_for": "5m"}
    engine = engine_on(database, "cost_per_hour > 3", **options)
    for step in (2 * HOUR, -2 * HOUR):
        put(database, NOW, usd=4)
        engine.evaluate(NOW, 0)
        put(database, NOW + step, usd=4)
        engine.evaluate(NOW + step + 60, 60)
        assert states(engine) == {"shop": "pending"}
        put(database, NOW + step + 300, usd=4)
        engine.evaluate(NOW + step + 300, 300)
        assert states(engine) == {"shop": "firing"}
        with database.transaction() as connection:
            connection.execute("DELETE FROM request_minute")
        engine.evaluate(NOW + 310, 310)
        assert states(engine) == {"shop": "firing"}
        engine.evaluate(NOW + 610, 610)
        assert states(engine) == {"shop": "inactive"}
        engine = engine_on(database, "cost_per_hour > 3", **options)


def test_a_restart_makes_no_silence(silent_rule: dict[str, Any], come: Callable[..., None], database: Database) -> None:
    """While qualitrace is down it hears nobody; what was silent before goes on being so, and is not notified again."""
    come(NOW)
    run(engine_on(database, **silent_rule), NOW, 600)
    engine = engine_on(database, **silent_rule)
    engine.evaluate(NOW + 5 * HOUR, 5)
    assert states(engine) == {"shop": "inactive"}
    run(engine, NOW + 5 * HOUR, 360, 5)
    assert states(engine) == {"shop": "firing"}
    again = engine_on(database, **silent_rule)
    again.evaluate(NOW + 6 * HOUR, 0)
    assert states(again) == {"shop": "firing"}
    assert len(summaries(database)) == 1


def test_a_service_that_was_shut_down_ends_its_alert(
    silent_rule: dict[str, Any], come: Callable[..., None], database: Database
) -> None:
    """After a week nobody expects it any more, and after another one it is forgotten."""
    engine = engine_on(database, **silent_rule)
    come(NOW)
    for hours in range(0, 173, 4):
        engine.evaluate(NOW + hours * HOUR)
    assert states(engine) == {}
    fired, resolved = summaries(database)
    assert resolved.startswith("no ")
    assert "so it counts as shut down" in resolved
    for days in range(8, 17):
        engine.evaluate(NOW + days * DAY)
    assert len(summaries(database)) == 2
    assert database.rows("SELECT count(*) FROM last_seen")[0][0] == 0
    assert "counts as shut down" not in fired


def test_requests_that_wait_to_be_stored_are_not_missing(database: Database, add_score: AddScore) -> None:
    """While MLflow is away nothing is stored: that is not silence of the applications."""
    held_up = [True]
    engine = engine_on(database, "no_requests for 15m", OwnState(storing_is_held_up=lambda _: held_up[0]))
    put(database, NOW)
    run(engine, NOW, 2 * HOUR)
    assert states(engine) == {"shop": "inactive"}
    held_up[0] = False
    run(engine, NOW + 2 * HOUR, 900, 2 * HOUR)
    assert states(engine) == {"shop": "firing"}


def test_the_tier_that_a_rule_names_is_the_one_that_may_not_be_silent(database: Database, add_score: AddScore) -> None:
    """Of a cascade the local judge goes on when the model's provider is down."""
    rule: dict[str, Any] = {"judge": "groundedness", "when": "no_scores for 15m"}
    by_tier = engine_on(database, **rule, tier="llm")
    for tier in ("local", "llm"):
        add_score(database, "pass", NOW, tier=tier)
    by_tier.evaluate(NOW)
    add_score(database, "pass", NOW + 1000, tier="local")
    by_tier.evaluate(NOW + 1000)
    assert states(by_tier) == {"shop": "firing"}
    engine = engine_on(database, **rule)
    engine.evaluate(NOW + 1001)
    assert states(engine) == {"shop": "inactive"}


def own_states(engine: AlertEngine) -> list[tuple[str, str]]:
    return [(status.service, status.state) for _, status in engine.statuses()]


@pytest.mark.parametrize(("judge", "fires"), [(None, True), ("tone", True), ("relevance", False)])
def test_a_budget_that_is_nearly_spent_fires(judge: str | None, fires: bool, database: Database) -> None:
    """The fullest limit counts, of the judge that the rule names or of all."""
    judges = [JudgeConfig(name=name, model="openai:/m", budget=Budget(usd_per_day=10), instructions="{{ outputs }}?")
              for name in ("tone", "relevance")]  # fmt: skip
    spending = Spending(Budget(tokens_per_hour=1_000_000), judges, database)
    engine = engine_on(database, "budget_spent > 80%", OwnState(spending=spending), **judged(judge))
    for usd, state in ((7.0, "inactive"), (2.0, "firing" if fires else "inactive")):
        with database.transaction() as connection:
            Spending.book(connection, "tone", "tr-1", Usage(10, 0, usd), NOW)
        engine.evaluate(NOW)
        assert own_states(engine) == [("qualitrace", state)]
    engine.evaluate(NOW + DAY)
    assert own_states(engine) == [("qualitrace", "inactive")]
    if fires:
        assert summaries(database)[0].startswith(
            "90% of the budget of tone is spent: 9 of 10 USD this day (threshold 0.8"
        )


@pytest.mark.parametrize("judge", [None, "tone"])
def test_a_judge_that_fails_fires(judge: str | None, database: Database) -> None:
    """By the calls of the last ten minutes; too few of them say nothing, neither good nor bad."""
    calls = {"tone": (1_000, 0), "relevance": (10, 0)}
    own = OwnState(judge_calls=lambda: dict(calls))
    engine = engine_on(database, "judge_error_rate > 20%", own, **judged(judge))
    run(engine, NOW, 600)
    calls["tone"] = (1_000, 4)
    engine.evaluate(NOW + 660, 660)
    assert own_states(engine) == []  # four calls
    calls["tone"] = (1_002, 9)
    engine.evaluate(NOW + 720, 720)
    assert own_states(engine) == [("qualitrace", "firing")]
    run(engine, NOW + 780, 1_200, 780)
    assert own_states(engine) == [("qualitrace", "firing")]  # nobody asks it any more
    calls["tone"] = (1_100, 9)
    engine.evaluate(NOW + 2_000, 2_000)
    assert own_states(engine) == [("qualitrace", "inactive")]
    who = judge or "judges"
    assert summaries(database)[0].startswith(f"82% of 11 calls of {who} failed in the last 10m (threshold 0.2")


def queue(database: Database, number: int, at: float, judge: str = "tone") -> None:
    task = JudgeTask(
        trace_id=f"tr-{number}", judge=judge, service="shop", sample=Sample(), inclusion_probability=1.0,
        root_ended_at=at, completed_at=at,
    )  # fmt: skip
    with database.transaction() as connection:
        JudgeQueue.put(connection, task)


def finish(database: Database) -> None:
    queue = JudgeQueue(database)
    for task in queue.lease(100, NOW * 2, 0, ["tone", "relevance"]):
        with database.transaction() as connection:
            JudgeQueue.finish(connection, task, "failed")


@pytest.mark.parametrize("judge", [None, "tone"])
def test_judgements_that_wait_too_long_fire(judge: str | None, database: Database) -> None:
    """By the age of the oldest one; those of other judges do not count where the rule names one."""
    engine = engine_on(database, "freshness > 5m", **judged(judge))
    queue(database, 1, NOW, "tone" if judge is None else "relevance")
    queue(database, 2, NOW + 100)
    engine.evaluate(NOW + 350)
    assert own_states(engine) == [("qualitrace", "firing" if judge is None else "inactive")]
    engine.evaluate(NOW + 450)
    assert own_states(engine) == [("qualitrace", "firing")]
    finish(database)
    engine.evaluate(NOW + 500)
    assert own_states(engine) == [("qualitrace", "inactive")]
    assert "has waited for 5m50s (threshold 5m" in summaries(database)[0]


def test_a_clock_that_steps_forward_makes_nothing_old(database: Database) -> None:
    """A judgement that was queued a moment before has not waited for two hours."""
    engine = engine_on(database, "freshness > 5m")
    queue(database, 1, NOW)
    engine.evaluate(NOW + 5, 5)
    engine.evaluate(NOW + 2 * HOUR + 10, 10)
    assert own_states(engine) == [("qualitrace", "inactive")]
    engine.evaluate(NOW + 2 * HOUR + 400, 400)
    assert own_states(engine) == [("qualitrace", "firing")]


def test_a_backlog_fires(database: Database) -> None:
    """By the number of judgements that wait."""
    engine = engine_on(database, "backlog > 2")
    for number in range(3):
        queue(database, number, NOW)
        engine.evaluate(NOW)
        assert own_states(engine) == [("qualitrace", "firing" if number == 2 else "inactive")]
    finish(database)
    engine.evaluate(NOW + 5)
    assert summaries(database) == [
        "3 judgements by any judge wait (threshold 2, without a promise about false alarms)",
        "0 judgements by any judge wait (threshold 2)",
    ]


def test_an_alert_on_qualitrace_itself_names_no_judge_that_its_rule_does_not(database: Database) -> None:
    """Its labels are name, service and severity; its page is the dashboard's first."""
    queue(database, 1, NOW)
    engine_on(database, "backlog > 0").evaluate(NOW)
    [row] = database.rows("SELECT body FROM outbox")
    [alert] = json.loads(row["body"])["alerts"]
    assert alert["labels"] == {"alertname": "rule", "service": "qualitrace", "severity": "warning"}
    assert alert["annotations"]["dashboard"] == "http://127.0.0.1:9464"
