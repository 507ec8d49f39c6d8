"""`qualitrace tail`: scores as they come, beside a server or without one."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from qualitrace_collector.state import Database
from qualitrace_monitors.terminal.scores import MOST_AT_ONCE, OVERLAP_SECONDS, Filter, NewScores
from qualitrace_monitors.terminal.tail import tail
from support.serving import QUALITRACE, environment
from support.waiting import eventually

NOW = 1_790_000_000.0


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Run `qualitrace tail` on the test's state database."""
    (tmp_path / "q.yaml").write_text(json.dumps({"data_dir": str(tmp_path)}))
    return lambda *arguments: CliRunner().invoke(tail, ["--config", str(tmp_path / "q.yaml"), *arguments])


def test_the_newest_scores_are_shown_in_columns(
    run: Callable[..., Result], database: Database, add_score: Callable[..., str]
) -> None:
    """The newest last, as many as asked for; by when they were given, not by when the trace was completed."""
    for number, label in enumerate(["pass", "fail", "unsure"]):
        add_score(database, label, NOW - number, scored_at=NOW + number, rationale=f"because\n{number}")
    lines = run("--once", "-n", "2").output.splitlines()
    assert lines == [
        "2026-09-21T14:13:21.000Z  fail    0.000  shop              groundedness      local   "
        "tr-00000000000000000000000000000002  because 1",
        "2026-09-21T14:13:22.000Z  unsure  0.500  shop              groundedness      local   "
        "tr-00000000000000000000000000000003  because 2",
    ]
    assert run("--once", "-n", "0").output == ""


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_personal_data_in_reasons_is_masked(
    form: list[str], run: Callable[..., Result], database: Database, add_score: Callable[..., str]
) -> None:
    """Judges quote what users wrote."""
    add_score(database, "fail", NOW, rationale="write to ada@example.com")
    assert "write to [email]" in run("--once", *form).output


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--service", "shop"], [1, 2]),
        (["--service", "s*"], [1, 2, 4]),
        (["--judge", "safety"], [3]),
        (["--verdict", "fail"], [2, 4]),
        (["--verdict", "fail", "--service", "search"], [4]),
    ],
)
def test_scores_are_filtered(
    options: list[str], shown: list[int], run: Callable[..., Result], database: Database, add_score: Callable[..., str]
) -> None:
    """Before they are counted; JSON has every field of a line, in ASCII."""
    for label, service, judge in (
        ("pass", "shop", "groundedness"),
        ("fail", "shop", "groundedness"),
        ("pass", "faq", "safety"),
        ("fail", "search", "groundedness"),
    ):
        add_score(database, label, NOW, service=service, judge=judge, rationale="schön \x9b2J")
    result = run("--once", "--json", *options)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [int(each["trace_id"][-2:]) for each in found] == shown
    assert result.stdout.isascii()
    assert found[0].keys() == {"time", "verdict", "value", "service", "judge", "tier", "trace_id", "rationale"}


def test_texts_from_outside_do_not_steer_the_terminal(
    run: Callable[..., Result], database: Database, add_score: Callable[..., str]
) -> None:
    """A reply may hold escape sequences, line ends and marks that turn the writing around."""
    add_score(database, "fail", NOW, service="a\x1b[2J", rationale="x\x1b]0;title\x07\r\n\u202etxt\x9b31m")
    (line,) = run("--once").output.splitlines()
    assert line.isprintable()
    assert "a [2J" in line


def test_nothing_is_made_where_no_server_was(tmp_path: Path) -> None:
    """Neither a folder nor a file: the message says what to name."""
    (tmp_path / "q.yaml").write_text(json.dumps({"data_dir": str(tmp_path / "data")}))
    result = CliRunner().invoke(tail, ["--config", str(tmp_path / "q.yaml")])
    assert (result.exit_code, "no such file" in result.output) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["q.yaml"]


def test_each_score_comes_once(database: Database, tmp_path: Path, add_score: Callable[..., str]) -> None:
    """Also one that is written late, or again, and more than are read at once; what was there before does not."""
    add_score(database, "pass", NOW)
    scores = NewScores(tmp_path / "state.db", Filter())
    assert len(scores.last(0)) == 0
    late = add_score(database, "fail", NOW, scored_at=NOW - OVERLAP_SECONDS / 2)
    assert [row["trace_id"] for row in scores] == [late]
    many = [add_score(database, "pass", NOW, scored_at=NOW + 1) for _ in range(MOST_AT_ONCE + 5)]
    assert [row["trace_id"] for row in scores] == many
    assert list(scores) == []
    add_score(database, "pass", NOW, scored_at=NOW + 60)
    assert [row["scored_at"] for row in scores] == [NOW + 60]
    assert len(scores._given) == 1


class Following:
    """`qualitrace tail` in a process of its own, and the lines that it wrote."""

    def __init__(self, *arguments: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*QUALITRACE, "tail", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
        )
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))


@pytest.fixture
def following(tmp_path: Path) -> Iterator[Callable[..., Following]]:
    """Start `qualitrace tail` on the test's state database."""
    started: list[Following] = []

    def start(*arguments: str) -> Following:
        (tmp_path / "q.yaml").write_text(json.dumps({"data_dir": str(tmp_path)}))
        started.append(Following("--config", str(tmp_path / "q.yaml"), *arguments))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


@pytest.mark.slow
def test_a_restart_of_the_server_is_survived(
    following: Callable[..., Following], tmp_path: Path, add_score: Callable[..., str]
) -> None:
    """Also one that changes the tables: it is said once, and what came meanwhile is shown. Ctrl-C ends it quietly."""
    database = Database.of(tmp_path)
    add_score(database, "pass", time.time())
    seen = following("--verdict", "fail")
    first = add_score(database, "pass", time.time())
    late = add_score(database, "fail", time.time())
    eventually(lambda: any(late in line for line in seen.lines))
    version = database.connection().execute("PRAGMA user_version").fetchone()[0]
    database.connection().execute("PRAGMA user_version = 99")
    eventually(lambda: any("version 99" in line for line in seen.lines))
    meanwhile = add_score(database, "fail", time.time())
    database.connection().execute(f"PRAGMA user_version = {version}")
    database.close()
    eventually(lambda: any(meanwhile in line for line in seen.lines))
    assert sum("version 99" in line for line in seen.lines) == 1
    assert not any(first in line for line in seen.lines)
    seen.process.send_signal(signal.SIGINT)
    assert seen.process.wait(20) == 130
    assert "Traceback" not in "".join(seen.lines)


@pytest.mark.slow
def test_a_terminal_gets_colours_and_no_more_than_its_width(
    database: Database, tmp_path: Path, add_score: Callable[..., str]
) -> None:
    """One line for each score, whatever it says."""
    add_score(database, "fail", NOW, rationale="long " * 100)
    (tmp_path / "q.yaml").write_text(json.dumps({"data_dir": str(tmp_path)}))
    main, terminal = os.openpty()
    os.set_blocking(main, False)
    command = [*QUALITRACE, "tail", "--once", "--config", str(tmp_path / "q.yaml")]
    variables = environment(TERM="xterm-256color", COLUMNS="100")
    done = subprocess.run(command, stdout=terminal, env=variables, timeout=60, check=False)
    written = os.read(main, 65_536).decode()
    assert done.returncode == 0
    assert "\x1b[" in written
    assert len(written.splitlines()) == 1
    assert "long long" not in written
