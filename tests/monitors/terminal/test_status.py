"""`qualitrace status`: what a server that runs says of itself, on a terminal and piped."""

import json
import os
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qualitrace_collector.state import Database
from qualitrace_monitors.terminal.status import status
from support.app import served
from support.ports import free_port
from support.serving import QUALITRACE, environment
from support.waiting import eventually
from support.web import NOW, WebStand

OpenWeb = Callable[..., WebStand]
RULE = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9"}


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., list[str]]:
    """Return the options that name a configuration whose web port is at an address."""

    def options(address: str, **listen: str) -> list[str]:
        (tmp_path / "q.yaml").write_text(json.dumps({"listen": {"web": address, **listen}}))
        return ["--config", str(tmp_path / "q.yaml")]

    return options


@pytest.fixture
def run(configured: Callable[..., list[str]]) -> Callable[..., Result]:
    """Run `qualitrace status` on a server's web port."""

    def call(web: WebStand, *arguments: str, **listen: str) -> Result:
        return CliRunner().invoke(status, [*configured(web.server.url.removeprefix("http://"), **listen), *arguments])

    return call


@pytest.fixture
def firing(database: Database, add_scores: Callable[..., None], open_web: OpenWeb) -> WebStand:
    """Serve a state in which one service is bad, and one is fine."""
    add_scores(database, [False] * 40, NOW - 60, service="shop\x1b[2J")
    add_scores(database, [True] * 40, NOW - 60, service="faq")
    web = open_web(alerts=[RULE], budget={"tokens_per_day": 1000})
    web.alerts.evaluate(NOW)
    return web


def test_what_is_wrong_comes_first_in_plain_columns(run: Callable[..., Result], firing: WebStand) -> None:
    """Exit code 3: an alert fires. Names from outside move no cursor."""
    done = run(firing)
    assert done.exit_code == 3, done.output
    lines = done.stdout.splitlines()
    assert lines[0].endswith("something is wrong")
    assert all(line.isprintable() for line in lines)
    titles = [title for title, before in zip(lines[1:], lines, strict=False) if before == ""]
    assert titles[-5:] == ["alerts", "services, the last 1h", "lag", "budgets", "sampling"]
    head, alert = lines[lines.index("alerts") + 1 :][:2]
    assert alert[head.index("service") :].startswith("shop [2J ")
    assert alert.split()[:3] == ["firing", "warning", "low"]
    services = lines[lines.index("services, the last 1h") + 2 :][:2]
    assert [line.split("  ")[0] for line in services] == ["shop [2J", "faq"]
    assert "0.0% (0.0% – " in services[0]


def test_why_the_server_cannot_say_is_said(run: Callable[..., Result], web: WebStand) -> None:
    """Exit code 1, as without a server; no control character comes through."""

    def locked() -> str:
        raise sqlite3.OperationalError("database is locked\x1b[2J")

    web.health.add("mlflow", locked)
    done = run(web)
    assert done.exit_code == 1
    assert "cannot say how it is: the state database cannot be used: database is locked [2J" in done.stderr


def test_json_is_what_the_server_says(run: Callable[..., Result], firing: WebStand) -> None:
    """With the same exit code."""
    done = run(firing, "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout) == firing.get("/status.json").json()


def test_the_token_of_the_configuration_is_sent(run: Callable[..., Result], open_web: OpenWeb) -> None:
    """Another one is refused, with the remedy."""
    web = open_web(listen={"web_token": "right-token-1"}, notify={})
    assert run(web, web_token="right-token-1").exit_code in (0, 3)
    done = run(web, web_token="wrong-token-1")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "wants another token" in done.stderr


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"format": 99}', b"\xff"])
def test_what_is_no_server_is_told_in_one_line(body: bytes, configured: Callable[..., list[str]]) -> None:
    """Something else listens there, or a server of another version: exit code 1."""

    def answer(_path: str, _asked: Any) -> tuple[int, bytes]:
        return 200, body

    with served(answer) as url:
        done = CliRunner().invoke(status, configured(url.removeprefix("http://").partition("/")[0]))
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)


def test_a_server_that_is_away_is_told_in_one_line(configured: Callable[..., list[str]]) -> None:
    """With the address where it was looked for."""
    address = f"127.0.0.1:{free_port()}"
    done = CliRunner().invoke(status, configured(address))
    assert (done.exit_code, done.stderr) == (1, f"qualitrace status: no server listens at http://{address}\n")


@pytest.mark.slow
def test_watching_goes_on_while_the_server_is_away(configured: Callable[..., list[str]], firing: WebStand) -> None:
    """It says since when; the time stays while it is away."""
    command = [*QUALITRACE, "status", "--watch", *configured(firing.server.url.removeprefix("http://"))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout is not None
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")), daemon=True)  # type: ignore[union-attr]
    reader.start()
    eventually(lambda: any("something is wrong" in line for line in lines))
    firing.server.stop()
    eventually(lambda: sum(line.startswith("away since 20") for line in lines) >= 2)
    assert len({line for line in lines if line.startswith("away since")}) == 1
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130


@pytest.mark.slow
def test_a_terminal_gets_coloured_tables(configured: Callable[..., list[str]], firing: WebStand) -> None:
    """Within its width."""
    main, terminal = os.openpty()
    command = [*QUALITRACE, "status", *configured(firing.server.url.removeprefix("http://"))]
    variables = environment(TERM="xterm-256color", COLUMNS="120")
    done = subprocess.run(command, stdout=terminal, env=variables, timeout=60, check=False)
    written = os.read(main, 65_536).decode()
    assert done.returncode == 3
    assert "\x1b[1;31m" in written
    assert "\x1b[2J" not in written
