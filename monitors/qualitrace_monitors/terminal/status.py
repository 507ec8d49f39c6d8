"""The command `qualitrace status`."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from qualitrace_collector.cli import config_option, load_or_exit
from qualitrace_monitors.config import Config
from qualitrace_monitors.moments import instant
from qualitrace_monitors.terminal.output import INTERRUPTED, STYLES, columns
from qualitrace_monitors.terminal.report import headline, sections
from qualitrace_monitors.terminal.server import Away, address_of, ask

WATCH_SECONDS = 2.0
AWAY, WRONG = 1, 3
"""Exit codes; 2 is that of a wrong command line."""


@click.command()
@config_option
@click.option("--watch", is_flag=True, help=f"Look again every {WATCH_SECONDS:g} seconds, until Ctrl-C.")
@click.option("--json", "in_json", is_flag=True, help="What the server says, as JSON; with --watch a line each time.")
def status(path: Path | None, watch: bool, in_json: bool) -> None:
    """Show how a server that runs is doing: problems, alerts, services, deliveries, lag and budgets.

    \b
    Exit code 1 if no server answers; 3 if an alert fires or there is a problem; else 0.
    """
    config = load_or_exit(path, Config, needs=("listen",))
    if watch:
        _watch(config, in_json)
    try:
        found = ask(config.listen)
    except Away as error:
        click.echo(f"qualitrace status: {error}", err=True)
        sys.exit(AWAY)
    if in_json:
        click.echo(json.dumps(found, indent=2))
    elif sys.stdout.isatty():
        Console(highlight=False).print(_screen(config, found))
    else:
        click.echo("\n".join(_lines(config, found)))
    sys.exit(WRONG if found["status"] == "problems" else 0)


def _watch(config: Config, in_json: bool) -> NoReturn:
    """Show it again and again; ends by Ctrl-C alone."""
    show = _as_screen if sys.stdout.isatty() and not in_json else _as_json if in_json else _as_lines
    with suppress(KeyboardInterrupt):
        show(config, _looks(config))
    sys.exit(INTERRUPTED)


def _looks(config: Config) -> Iterator[dict[str, Any] | str]:
    """Yield what the server says, or since when it is away and why."""
    away_since = 0.0
    while True:
        try:
            yield ask(config.listen)
            away_since = 0.0
        except Away as error:
            away_since = away_since or time.time()
            yield f"away since {instant(away_since)}: {error}"
        time.sleep(WATCH_SECONDS)


def _as_json(_config: Config, looks: Iterator[dict[str, Any] | str]) -> None:
    for found in looks:
        click.echo(json.dumps({"away": found} if isinstance(found, str) else found))


def _as_lines(config: Config, looks: Iterator[dict[str, Any] | str]) -> None:
    for found in looks:
        click.echo("\n".join([found] if isinstance(found, str) else [*_lines(config, found), ""]))


def _as_screen(config: Config, looks: Iterator[dict[str, Any] | str]) -> None:
    with Live(screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        last: RenderableType = ""
        for found in looks:
            if isinstance(found, str):
                live.update(Group(Text(found, "bold red"), last), refresh=True)
            else:
                last = _screen(config, found)
                live.update(last, refresh=True)


def _head(config: Config, found: dict[str, Any]) -> str:
    return f"{address_of(config.listen)}  {instant(found['at'])}  {headline(found)}"


def _lines(config: Config, found: dict[str, Any]) -> Iterator[str]:
    yield _head(config, found)
    for section in sections(found):
        yield ""
        yield section.title
        yield from columns([section.columns, *section.rows])
        if section.left_out:
            yield f"{section.left_out:,} more"


def _screen(config: Config, found: dict[str, Any]) -> RenderableType:
    parts: list[RenderableType] = [Text(_head(config, found), STYLES.get(found["status"], ""))]
    for section in sections(found):
        more = f" ({section.left_out:,} more)" if section.left_out else ""
        table = Table(title=f"{section.title}{more}", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
        for name in section.columns:
            table.add_column(name, overflow="fold")
        for row in section.rows:
            table.add_row(*(Text(cell, STYLES.get(cell, "")) for cell in row))
        parts.append(table)
    return Group(*parts)
