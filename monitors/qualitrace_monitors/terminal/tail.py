"""The command `qualitrace tail`."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from qualitrace_collector.cli import config_option, load_or_exit, state_file
from qualitrace_collector.state import StateError
from qualitrace_monitors.answers.personal_data import masked
from qualitrace_monitors.config import Config
from qualitrace_monitors.notify.payload import rfc3339
from qualitrace_monitors.terminal.output import INTERRUPTED, Lines, printable
from qualitrace_monitors.terminal.scores import Filter, NewScores

LOOK_SECONDS = 0.5
MOST_LINES = 10_000
WIDTHS = (24, 6, 5, 16, 16, 6, 35)
"""Columns of time, verdict, value, service, judge, tier and trace id; a longer name takes the room that it needs."""


@click.command()
@config_option
@click.option("--service", metavar="NAME", help="Of this service alone; a name or a glob such as 'shop-*'.")
@click.option("--judge", metavar="NAME", help="By this judge alone.")
@click.option("--verdict", type=click.Choice(["pass", "unsure", "fail"]), help="With this verdict alone.")
@click.option("-n", "count", type=click.IntRange(0, MOST_LINES), default=10, show_default=True, help="Scores at first.")
@click.option("--once", is_flag=True, help="End after those.")
@click.option("--json", "in_json", is_flag=True, help="A JSON object a line.")
def tail(
    path: Path | None,
    service: str | None,
    judge: str | None,
    verdict: str | None,
    count: int,
    once: bool,
    in_json: bool,
) -> None:
    """Show scores as they come: time, verdict, value, service, judge, tier, trace and why.

    The server's state is read, and nothing is written; a restart of the server is waited for. Personal data in reasons
    is masked, unless listen.web_personal_data is "shown".
    """
    config = load_or_exit(path, Config, needs=("data_dir", "judges"))
    known = [each.name for each in config.judges]
    if judge is not None and judge not in known:
        click.echo(f"no judge named {judge!r} under judges; there are: {', '.join(known) or 'none'}", err=True)
    scores = NewScores(state_file(config), Filter(service=service, judge=judge, label=verdict))
    shown = str if config.listen.web_personal_data == "shown" else masked
    write_one = _write_json if in_json else _Columns().write

    def write(score: dict[str, Any]) -> None:
        write_one({**score, "rationale": shown(score["rationale"])})

    try:
        for score in scores.last(count):
            write(score)
        if not once:
            _follow(scores, write)
    except StateError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _follow(scores: NewScores, write: Any) -> None:
    said = ""
    while True:
        time.sleep(LOOK_SECONDS)
        try:
            for score in scores:
                write(score)
        except StateError as error:  # the file is being replaced, or a newer server changes its tables
            if str(error) != said:
                click.echo(f"{error}; trying again", err=True)
            said = str(error)


def _write_json(score: dict[str, Any]) -> None:
    about = {name: score[name] for name in ("service", "judge", "tier", "trace_id", "rationale")}
    line = {"time": rfc3339(score["scored_at"]), "verdict": score["label"], "value": round(score["value"], 6), **about}
    click.echo(json.dumps(line))


class _Columns:
    def __init__(self) -> None:
        self._lines = Lines()

    def write(self, score: dict[str, Any]) -> None:
        """Write a score as a line of columns."""
        names = [printable(score[name]) for name in ("service", "judge", "tier", "trace_id", "rationale")]
        cells = [rfc3339(score["scored_at"]), score["label"], f"{score['value']:.3f}", *names]
        self._lines.write(cells, WIDTHS)
