"""`qualitrace alerts delay`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qualitrace_monitors.alert_commands.command import alerts
from qualitrace_monitors.backtest import falls

LOW = {"name": "low", "judge": "safety", "when": "pass_rate < 0.9"}
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `qualitrace alerts delay` with rules, on few streams."""
    monkeypatch.setattr(falls, "STREAMS", 50)

    def call(*arguments: str, rules: Any = (LOW,), **config: Any) -> Result:
        (path := tmp_path / "q.yaml").write_text(json.dumps({"judges": ["safety"], "alerts": rules, **config}))
        return CliRunner().invoke(alerts, ["delay", *arguments, "--config", str(path)])

    return call


def median(result: Result) -> tuple[int, int]:
    """Return the median delay of a new service's fall by twenty points, in scores and in seconds."""
    assert result.exit_code == 0, result.output
    (rule,) = json.loads(result.stdout)
    delay = rule["falls"][2]["new_service"]
    return delay["median_scores"], delay["median_seconds"]


@pytest.mark.slow
def test_a_delay_is_as_long_as_the_scores_take(run: Run) -> None:
    """Scores are the traffic times the sampling rate of the judge."""
    asked = ("--rate", "0.95", "--json", "--traffic")
    scores, seconds = median(run(*asked, "10/m", sampling={"rate": 0.1}))
    assert seconds == scores * 60
    judge = {"name": "safety", "rate": 0.5}
    assert median(run(*asked, "120/h", judges=[judge])) == (scores, seconds)
    sessions, waited = median(run(*asked, "10/m", "--sessions", "4", sampling={"rate": 1.0}))
    assert waited - 300 == pytest.approx(sessions * 6, abs=6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("service", "rates", "per_hour", "said"),
    [
        (None, [], 60, ""),
        (None, [{"match": {"route": "/pay"}, "rate": 0.5}], 60, "0.1 of the traffic is scored at least"),
        ("shop", [{"match": {"route": "/pay"}, "rate": 0.05}], 30, "0.05 of the traffic is scored at least"),
        ("shop", [{"match": {"service": "shop"}, "rate": 0.5}], 300, "0.5 of the traffic is scored at least"),
        ("s*", [{"match": {"service": "shop"}, "rate": 0.5}], 60, "0.1 of the traffic of a service that no rate names"),
    ],
)
def test_rates_that_differ_by_match_count(
    service: str | None, rates: list[dict[str, Any]], per_hour: float, said: str, run: Run
) -> None:
    """The least that a rule's service may be scored at, which the output says: what is scored more weighs less."""
    rule = LOW | ({"service": service} if service else {})
    asked = ("--rate", "0.95", "--traffic", "10/m", "--json")
    result = run(*asked, rules=[rule], sampling={"rate": 0.1, "rates": rates})
    assert result.exit_code == 0, result.output
    [found] = json.loads(result.stdout)
    assert found["scores_per_hour"] == pytest.approx(per_hour)
    assert (found["sampling"] == "") == (said == "")
    assert said in found["sampling"]


def test_each_rule_is_named_with_what_it_allows_and_what_cannot_be_simulated(run: Run) -> None:
    """By text as by JSON."""
    fact = {"name": "dear", "when": "cost_per_hour > 3"}
    result = run(
        "--rate", "0.85", "--traffic", "1/s", rules=[LOW, LOW | {"name": "half", "when": "pass_rate < 0.7"}, fact]
    )
    assert result.exit_code == 0, result.output
    low, half, dear = result.output.split("\n\n")
    assert "its condition holds already" in low
    assert half.count("not noticed") == 4
    assert half.count("median") == 2
    assert "cannot be simulated: it compares a fact" in dear


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        (["--rate", "0.9", "--traffic", "10"], "such as 10/m"),
        (["--rate", "0.9", "--traffic", "0/m"], "such as 10/m"),
        (["--rate", "95", "--traffic", "10/m"], "95"),
        (["--rate", "0.9", "--traffic", "10/m", "--rule", "high"], "no rule named 'high' under alerts; there are: low"),
    ],
)
def test_a_mistake_is_named(run: Run, arguments: list[str], mistake: str) -> None:
    """Before anything is simulated."""
    result = run(*arguments)
    assert (result.exit_code, mistake in result.output) == (2, True)
