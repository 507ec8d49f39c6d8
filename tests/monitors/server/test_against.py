"""`check-config FILE --against`: what a configuration would have seen of the traces that are stored."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from qualitrace_monitors.server import against
from qualitrace_monitors.server.commands import check_config
from support.pipeline import Collector, rag

JUDGES = [
    {"name": "relevance", "rates": [{"match": {"release": "2.*"}, "rate": 1}]},
    {"name": "safety", "match": {"service": "shop*", "cloud.region": "eu-*"}, "rate": 0.5},
    {"name": "toxicity", "match": {"environment": "staging"}},
]
ALERTS = [
    {"name": "two", "judge": "relevance", "when": "pass_rate < 0.9", "match": {"release": "2.*", "model": "gpt-4o*"}},
    {"name": "shops", "judge": "safety", "when": "pass_rate < 0.9", "service": "shop-*"},
    {"name": "bank", "judge": "safety", "when": "pass_rate < 0.9", "match": {"service": "bank"}},
]


@pytest.fixture
def collector(tmp_path: Path) -> Collector:
    """Store traces of three services: 6 of release 1.9 in shop-us, 3 of 2.0 in shop-eu, 1 of 2.1 in bank."""
    collector = Collector(tmp_path, {"judges": []}, now=time.time() - 600)
    came = [("shop-us", "1.9", "us-1")] * 6 + [("shop-eu", "2.0", "eu-1")] * 3 + [("bank", "2.1", "eu-1")]
    for number, (service, release, region) in enumerate(came, 1):
        collector.send(rag(number), service, service__version=release, cloud__region=region)
    collector.run()
    return collector


@pytest.fixture
def ask(tmp_path: Path, collector: Collector) -> Callable[..., Result]:
    """Run the command on the stored traces, with these sections."""

    def run(*options: str, **sections: Any) -> Result:
        where = {"data_dir": str(tmp_path), "mlflow": {"tracking_uri": collector.store.tracking_uri}}
        (tmp_path / "q.yaml").write_text(yaml.safe_dump(where | sections))
        return CliRunner().invoke(check_config, [str(tmp_path / "q.yaml"), "--against", *(options or ("24h",))])

    return run


def table(result: Result) -> dict[str, tuple[str, str]]:
    """Return seen and judged by name."""
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()[3:]
    return {" ".join(words[:-2]): (words[-2], words[-1]) for words in map(str.split, lines)}


def test_each_judge_stratum_and_rule_is_counted(ask: Callable[..., Result], collector: Collector):
    """By the resource, the model and the service of the stored traces; the state database stays as it is."""
    before = collector.totals()
    result = ask(judges=JUDGES, alerts=ALERTS, sampling={"rate": 0.5})
    assert result.stdout.splitlines()[1] == "10 traces stored in the last 1d, all read"
    assert result.stderr == ""  # progress is for terminals
    assert table(result) == {
        "judge relevance": ("10", "7"),  # 4 at rate 1, 6 at 0.5
        "judge relevance rates.0": ("4", "4"),
        "judge safety": ("3", "2"),
        "judge toxicity": ("0", "0"),
        "alert two": ("4", "4"),
        "alert shops": ("3", "2"),
        "alert bank": ("0", "0"),
    }
    assert collector.totals() == before


def test_services_are_counted_without_mlflow(ask: Callable[..., Result]):
    """Where nothing else is asked for, an MLflow that is away does not matter."""
    judges = [{"name": "safety", "match": {"service": ["shop-*", "faq"]}, "rate": 1}]
    result = ask(judges=judges, mlflow={"tracking_uri": "http://127.0.0.1:9"})
    assert table(result) == {"judge safety": ("9", "9")}


def test_counts_are_scaled_up_where_not_all_are_read(ask: Callable[..., Result], monkeypatch: pytest.MonkeyPatch):
    """A random part is read, as long as it takes, and the answer says so; the sum stays that of all."""
    monkeypatch.setattr(against, "MOST_READ", 4)
    judges = [{"name": "safety", "match": {"model": "gpt-*"}, "rate": 1}]
    result = ask(judges=judges)
    assert "10 traces stored in the last 1d, of which 4 were read; counts are estimates" in result.stdout
    assert table(result) == {"judge safety": ("10", "10")}


def test_only_the_time_that_is_asked_for_counts(ask: Callable[..., Result], tmp_path: Path):
    """An hour-old trace is none of the last half hour's; and beside a writer that holds the lock all goes on."""
    with sqlite3.connect(tmp_path / "state.db") as writer:
        writer.execute("UPDATE trace SET recorded_at = recorded_at - 3600 WHERE service = 'shop-us'")
        writer.commit()
        writer.execute("BEGIN IMMEDIATE")
        assert table(ask("30m", judges=["safety"])) == {"judge safety": ("4", "0")}
        writer.rollback()


@pytest.mark.parametrize(
    ("option", "mistake"), [("8d", "at most 7d"), ("0s", "more than 0s"), ("soon", "must be a duration")]
)
def test_a_time_that_cannot_be_looked_at_is_refused(ask: Callable[..., Result], option: str, mistake: str):
    """Rows of traces are kept for a week."""
    result = ask(option)
    assert result.exit_code == 2
    assert mistake in result.stderr


def test_without_a_state_database_the_place_is_named(tmp_path: Path):
    """A relative data_dir is easily another one; and nothing is made there."""
    (tmp_path / "q.yaml").write_text(f"data_dir: {tmp_path / 'elsewhere'}\n")
    result = CliRunner().invoke(check_config, [str(tmp_path / "q.yaml"), "--against", "1h"])
    assert result.exit_code == 1
    assert "elsewhere/state.db: no such file" in result.stderr
    assert not (tmp_path / "elsewhere").exists()
