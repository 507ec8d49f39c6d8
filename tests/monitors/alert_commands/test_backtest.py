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
from qualitrace_collector.state.requests import Requests
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
    assert start < fired_at < start + 48 * EVALUATION_SECONDS
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
    others = {"slow": "p95_duration > 5s", "broken": "error_rate > 5%", "behind": "backlog > 100"}
    rules = [LOW, *({"name": name, "when": when} for name, when in others.items())]
    result = run("--json", rules=rules)
    assert result.exit_code == 0, result.output
    found = {rule["name"]: rule for rule in json.loads(result.stdout)["rules"]}
    assert found.keys() == {"low", *others}
    assert all(found[name]["cannot_be_replayed"] for name in others)
    assert len(found["low"]["services"][0]["alerts"]) == 1
    text = run(rules=rules).output
    assert [f"\n{name}: " in text for name in others] == [True] * 3
    assert text.count("cannot be replayed: ") == 3


def test_facts_are_replayed_with_what_they_say(run: Run, database: Database, incident: float) -> None:
    """Silence since the incident, costs of the last hour, an error budget that looks back beyond `--since`."""
    rules: list[dict[str, Any]] = [
        {"name": "silent", "judge": "groundedness", "when": "no_scores for 15m"},
        {"name": "budget", "judge": "groundedness", "when": "slo 95% over 30d"},
        {"name": "dear", "when": "cost_per_hour > 3"},
        {"name": "gone", "when": "no_requests for 15m"},
    ]
    with database.transaction() as connection:
        Requests.add(connection, "shop", time.time() - 1800, (10, 0, 0.0, 4.0))
    result = run("--since", "3d", "--json", rules=rules)
    assert result.exit_code == 0, result.output
    found = {rule["name"]: rule for rule in json.loads(result.stdout)["rules"]}
    firings = {name: rule["services"][0]["alerts"] for name, rule in found.items()}
    (silent,), (dear,), (gone,) = firings["silent"], firings["dear"], firings["gone"]
    assert silent["summary"].startswith("no score by groundedness on shop for 15m, ")
    assert silent["resolved_at"] is None
    assert dear["summary"].startswith("shop spent 4 USD in the last hour")
    assert gone["summary"].startswith("no request to shop for 15m")
    assert [firing["severity"] for firing in firings["budget"]] == ["page"]
    assert "times over 30m (limit 6)" in firings["budget"][0]["summary"]
    fired = datetime.fromisoformat(firings["budget"][0]["fired_at"]).timestamp()
    assert incident - 60 <= fired <= incident + 60
    text = run("--since", "47h", rules=rules).output  # an hour after the incident
    assert "counts as silence here" in text
    assert "shop: would have fired once" in text.partition("budget:")[2].partition("dear:")[0]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"judge": "safety"}, "there are no scores by safety"),
        ({"judge": None, "when": "slo 95% over 30d"}, "there are no requests in this time"),
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
    """It is not a mistake."""
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
