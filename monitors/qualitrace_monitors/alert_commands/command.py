"""The commands `qualitrace alerts list` and `qualitrace alerts test`, and the group of all."""

import json
import sys
import time
from pathlib import Path

import click

from qualitrace_collector.cli import config_option, load_or_exit, state_file
from qualitrace_collector.process.startup import configure_logging
from qualitrace_collector.state import StateError, read_only
from qualitrace_monitors.alert_commands.backtest import backtest
from qualitrace_monitors.alert_commands.delay import delay
from qualitrace_monitors.alert_commands.listing import lines
from qualitrace_monitors.alerts.listing import listed
from qualitrace_monitors.config import Config
from qualitrace_monitors.notify.payload import Links
from qualitrace_monitors.notify.receiver import DeliveryFailed
from qualitrace_monitors.notify.trial import send_test


@click.group()
def alerts() -> None:
    """Show alerts, and try rules and receivers."""


alerts.add_command(backtest)
alerts.add_command(delay)


@alerts.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON array instead of lines.")
def list_alerts(path: Path | None, as_json: bool) -> None:
    """List the alerts of a server, also while it runs: those that fire first.

    The server's state is read, and nothing is written.
    """
    config = load_or_exit(path, Config, needs=("data_dir", "judges", "alerts"))
    file = state_file(config)
    try:
        with read_only(file) as connection:
            rows = listed(connection, config.alerts, time.time())
    except StateError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps([row.as_json() for row in rows], indent=2))
    elif rows:
        click.echo("\n".join(lines(rows)))
    else:
        click.echo("no rule has found anything yet" if config.alerts else "no alert rule is configured", err=True)


@alerts.command("test")
@config_option
@click.argument("receiver")
def test_receiver(path: Path | None, receiver: str) -> None:
    """Send a notification that is marked as a test to RECEIVER, and print what it answers.

    It is sent at once, by this command, as the server would send it. Exit code 1 if it was not taken.
    """
    config = load_or_exit(path, Config, needs=("listen", "notify"))
    configure_logging()
    chosen = config.notify.get(receiver)
    if chosen is None:
        known = f"there are: {', '.join(config.notify)}" if config.notify else "there is none"
        raise click.ClickException(f"no receiver named {receiver!r} under notify; {known}")
    try:
        answer = send_test(receiver, chosen, Links(config.listen.web_url), time.time())
    except DeliveryFailed as failure:
        again = "it would be given up" if failure.permanent else "it would be tried again"
        click.echo(f"{receiver} did not take it: {failure} ({again})", err=True)
        sys.exit(1)
    click.echo(f"{receiver} took it: {answer.text}")
    if answer.problem:
        click.echo(f"{receiver}: {answer.problem}", err=True)
        sys.exit(1)
