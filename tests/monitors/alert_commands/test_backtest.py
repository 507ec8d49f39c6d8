"""`qualitrace alerts backtest` beside a server's open database."""

import json
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qualitrace_collector.state import Database
from qualitrace_monitors.alert_commands.command import alerts
from qualitrace_monitors.alerts.engine import EVALUATION_SECONDS, AlertEngine
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.notify.payload import Links

DAY = 86_400.0
LOW = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9"}
Run = Callable[..., Result]
AddScores = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `qualitrace alerts backtest` with rules, on the test's folder."""

    def call(*arguments: str, rules: Any = (LOW,), **config: Any) -> Result:
        (path := tmp_path / "q.yaml").write_text(json.dumps({"data_dir": str(tmp_path), "alerts": rules, **config}))
        return CliRunner().invoke(alerts, ["backtest", *arguments, "--config", str(path)])

    return call


@pytest.fixture
def incident(database: Database, add_scores: AddScores) -> float:
    """Let a service fail two days ago for two minutes, with a server that notices; gives the time of the alert."""
    rule = AlertRule.model_validate({**LOW, "notify": ["ops"]})
    engine = AlertEngine([rule], database, Estimator(database), Links("http://127.0.0.1:9464"))
    start = (time.time() - 2 * DAY) // EVALUATION_SECONDS * EVALUATION_SECONDS
    for number in range(48):
        now = start + number * EVALUATION_SECONDS
        add_scores(database, [not 8 <= number < 24] * 3, now - 1, service="shop")
        engine.evaluate(now)
    (fired_at,) = [
        datetime.fromisoformat(json.loads(row["body"])["alerts"][0]["startsAt"]).timestamp()
        for row in database.rows("SELECT body FROM outbox ORDER BY sequence LIMIT 1")
    ]
    assert start < fired_at < now
    return fired_at


def test_an_incident_is_found_again_and_nothing_is_written(run: Run, database: Database, incident: float) -> None:
    """When the server's engine found it, by JSON and by text; the server sees no change by anybody else."""
    server = database.connection()
    before = server.execute("PRAGMA data_version").fetchone()[0], database.rows("SELECT * FROM outbox")
    result = run("--since", "3d", "--json")
    assert result.exit_code == 0, result.output
    (rule,) = json.loads(result.stdout)["rules"]
    (service,) = rule["services"]
    (alert,) = service["alerts"]
    assert (rule["name"], service["service"], service["bets"]) == ("low", "shop", 144)
    assert datetime.fromisoformat(alert["fired_at"]).timestamp() == incident
    assert alert["value"] < 0.1
    assert service["firing_seconds"] > 60
    assert (server.execute("PRAGMA data_version").fetchone()[0], database.rows("SELECT * FROM outbox")) == before
    shown = run("--since", "3d").output
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(incident))
    assert f"fired {moment}, resolved" in shown
    assert "144 scores" in shown
    assert "0 scores" in run("--since", "1d").output


def test_rules_that_cannot_be_replayed_are_named(run: Run, incident: float) -> None:
    """With the reason; the others are replayed."""
    others = {"slow": "p95_duration > 5s", "dear": "cost_per_hour > 3", "behind": "backlog > 100"}
    others |= {"silent": "no_requests for 15m", "budget": "slo 95% over 30d"}
    rules = [LOW, *({"name": name, "when": when} for name, when in others.items())]
    budget = {"usd_per_day": 5}
    result = run("--json", rules=rules, budget=budget)
    assert result.exit_code == 0, result.output
    found = {rule["name"]: rule for rule in json.loads(result.stdout)["rules"]}
    assert found.keys() == {"low", *others}
    assert all(found[name]["cannot_be_replayed"] for name in others)
    assert len(found["low"]["services"][0]["alerts"]) == 1
    text = run(rules=rules, budget=budget).output
    assert [f"\n{name}: " in text for name in others] == [True] * 5
    assert text.count("cannot be replayed: ") == 5


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"judge": "safety"}, "there are no scores by safety"),
        ({"service": "bank"}, "covers none of the services with scores by groundedness: shop"),
        ({"match": {"release": "9"}}, "no score by groundedness is of its traffic"),
        ({"tier": "llm"}, "no score by groundedness is of its traffic, or tier"),
    ],
)
def test_a_rule_without_scores_says_why(run: Run, incident: float, rule: dict[str, Any], text: str) -> None:
    """Nothing to replay is not the same as nothing found."""
    cascade = {"name": "groundedness", "model": "openai:/m", "cascade": True}
    judges = [cascade if "tier" in rule else "groundedness", "safety"]
    result = run(rules=[LOW | rule], judges=judges)
    assert result.exit_code == 0, result.output
    assert text in result.output


def test_an_empty_database_has_nothing_to_replay(run: Run, database: Database) -> None:
    """It is no mistake."""
    result = run()
    assert (result.exit_code, "0 scores" in result.output) == (0, True)
    assert "there are no scores by groundedness in this time" in result.output


@pytest.mark.parametrize(
    ("arguments", "rules", "mistake"),
    [
        (["--rule", "high"], [LOW], "no rule named 'high' under alerts; there are: low"),
        ([], [], "has no alert rules"),
        (["--since", "60d"], [LOW], "at most 30d"),
        (["--since", "soon"], [LOW], "must be a duration"),
        ([], [LOW | {"when": "pas_rate < 0.9"}], "did you mean 'pass_rate'"),
    ],
)
def test_a_mistake_is_named(run: Run, database: Database, arguments: list[str], rules: Any, mistake: str) -> None:
    """Before anything is replayed."""
    result = run(*arguments, rules=rules)
    assert result.exit_code != 0
    assert mistake in result.output


def test_a_data_dir_without_a_server_is_named(run: Run, tmp_path: Path) -> None:
    """No database is made there."""
    result = run()
    assert (result.exit_code, "no such file" in result.output) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["q.yaml"]
