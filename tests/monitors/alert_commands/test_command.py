"""`qualitrace alerts list` beside a server's open database, and `qualitrace alerts test` to real receivers."""

import json
import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qualitrace_collector.state import Database
from qualitrace_monitors.alert_commands.command import alerts
from qualitrace_monitors.alert_commands.listing import lines
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.alerts.listing import ListedAlert
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.notify.payload import Links
from support.ports import free_port

RULE = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9", "tier": "local", "notify": ["ops"]}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Run `qualitrace alerts …` with a configuration whose data_dir is the test's folder."""

    def call(*arguments: str, **config: Any) -> Result:
        (path := tmp_path / "q.yaml").write_text(json.dumps({"data_dir": str(tmp_path), **config}))
        return CliRunner().invoke(alerts, [*arguments, "--config", str(path)])

    return call


@pytest.fixture
def listed(database: Database, add_score: Callable[..., str]) -> float:
    """Let one service fail and another be fine; gives the time of the evaluation."""
    now = float(int(time.time()))
    for number in range(40):
        add_score(database, "fail", now, service="shop [eu]")
        add_score(database, "fail" if number % 20 == 0 else "pass", now, service="faq")
    AlertEngine([AlertRule.model_validate(RULE)], database, Estimator(database), Links("http://h")).evaluate(now)
    return now


CONFIG = {"alerts": [RULE], "notify": {"ops": {"url": "http://127.0.0.1:1/", "secret": "${env:QT_NOT_SET}"}}}


def test_alerts_are_listed_as_json(run: Callable[..., Result], listed: float) -> None:
    """With state, time, value and evidence, those that fire first; receivers' secrets need not be set for it."""
    result = run("list", "--json", **CONFIG)
    assert result.exit_code == 0, result.output
    firing, fine = json.loads(result.stdout)
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(listed))
    assert (firing["service"], firing["state"], firing["since"], firing["receivers"]) == (
        "shop [eu]",
        "firing",
        since,
        ["ops"],
    )
    assert (firing["rule"], firing["judge"], firing["value"], firing["samples"]) == ("low", "groundedness", 0.0, 40)
    assert firing["evidence"] >= firing["limit"] > 1
    assert (firing["change"]["mean"], firing["change"]["since"], fine["change"]) == (0.0, since, None)
    assert (fine["service"], fine["state"], fine["since"], fine["value"]) == ("faq", "inactive", None, 0.95)
    assert fine["evidence"] < fine["limit"]


def test_alerts_are_listed_as_lines(run: Callable[..., Result], listed: float) -> None:
    """One for each alert, below the columns' names; names are shown as they are."""
    head, firing, fine = run("list", **CONFIG).output.splitlines()
    assert head.split() == ["state", "rule", "service", "since", "value", "change", "evidence"]
    assert [line[head.index("service") :].split("  ")[0] for line in (firing, fine)] == ["shop [eu]", "faq"]
    assert firing.split()[:2] == ["firing", "low"]
    assert re.search(r"  0 in about \d+ values since \S+Z  ", firing)
    assert fine.split()[3:5] == ["-", "0.95"]


def test_small_and_large_numbers_have_no_exponent() -> None:
    """A rate close to 0, and a duration of many seconds."""
    alert = ListedAlert(
        rule="slow", service="shop", judge="", state="firing", since=0.0, value=12_345.0, interval=(0.00003, 70_000.0),
        samples=9, receivers=(), evidence=0.00002, limit=1_000_000.0,
    )  # fmt: skip
    _, line = lines([alert])
    assert "12,300 (0.00003 - 70,000)" in line
    assert line.endswith("0.00002 of 1,000,000")


def test_an_alert_whose_window_holds_no_score_is_not_without_data(
    run: Callable[..., Result], database: Database, add_score: Callable[..., str]
) -> None:
    """Its evidence rests on scores that are older."""
    now = float(int(time.time()))
    for _ in range(40):
        add_score(database, "fail", now - 2 * 3600, service="shop")
    AlertEngine([AlertRule.model_validate(RULE)], database, Estimator(database), Links("http://h")).evaluate(now)
    _, alert = run("list", **CONFIG).output.splitlines()
    assert alert.split()[:2] == ["firing", "low"]
    assert alert.split()[4] == "-"


def test_listing_waits_for_nobody_and_writes_nothing(
    database: Database, run: Callable[..., Result], listed: float, tmp_path: Path
) -> None:
    """While the server is in a transaction, what was committed is shown; the file is not touched."""
    before = (tmp_path / "state.db").read_bytes()
    with database.transaction() as connection:
        connection.execute("DELETE FROM alert_state")
        assert len(json.loads(run("list", "--json", **CONFIG).stdout)) == 2
    assert (tmp_path / "state.db").read_bytes() == before


def test_what_cannot_be_listed_is_told(run: Callable[..., Result], tmp_path: Path) -> None:
    """No database, no rule, no alert, and a database of another version."""
    assert "no such file" in run("list").output
    Database.of(tmp_path).close()
    assert "no alert rule is configured" in run("list").output
    assert "no rule has found anything yet" in run("list", **CONFIG).output
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    result = run("list")
    assert (result.exit_code, "has tables of version 99" in result.output) == (1, True)


def test_a_receiver_is_sent_a_marked_notification(run: Callable[..., Result], webhook_receiver: Any) -> None:
    """By the real path; its answer is printed."""
    result = run("test", "ops", notify={"ops": {"url": webhook_receiver.url}})
    assert (result.exit_code, result.output) == (0, "ops took it: 200 OK\n")
    [(headers, body)] = webhook_receiver.received
    payload = json.loads(body)
    assert payload["commonLabels"] == {"alertname": "QualitraceTest", "severity": "none"}
    assert "test" in payload["commonAnnotations"]["summary"]
    assert headers["webhook-id"].startswith("msg_")


@pytest.mark.parametrize(("status", "text"), [(403, "(it would be given up)"), (500, "(it would be tried again)")])
def test_a_receiver_that_refuses_fails_the_command(
    status: int, text: str, run: Callable[..., Result], webhook_receiver: Any
) -> None:
    """With the reason and an exit code."""
    webhook_receiver.answers = [(status, {})]
    result = run("test", "ops", notify={"ops": {"url": webhook_receiver.url}})
    assert result.exit_code == 1
    assert result.output == f"ops did not take it: the receiver answered {status} {text}\n"


def test_one_dead_alertmanager_fails_the_command(run: Callable[..., Result], webhook_receiver: Any) -> None:
    """The other one took it, and the test ends there by itself."""
    urls = [f"http://127.0.0.1:{free_port()}", webhook_receiver.url]
    result = run("test", "am", notify={"am": {"kind": "alertmanager", "url": urls}})
    assert result.exit_code == 1
    assert "1 of 2 Alertmanagers do not take it" in result.output
    [alert] = json.loads(webhook_receiver.received[0][1])
    assert alert["startsAt"] < alert["endsAt"] <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 301))


def test_an_unknown_receiver_is_named_with_those_there_are(run: Callable[..., Result]) -> None:
    """A slip in the name is seen at once."""
    result = run("test", "obs", notify={"ops": {"url": "http://127.0.0.1:1/"}})
    assert (result.exit_code, result.output) == (1, "Error: no receiver named 'obs' under notify; there are: ops\n")
