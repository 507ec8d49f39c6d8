"""The command `qualitrace alerts backtest`."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import click

from qualitrace_collector.cli import config_option, load_or_exit, look_back, state_file
from qualitrace_collector.state import StateError
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.backtest.report import as_json, lines
from qualitrace_monitors.backtest.run import backtested
from qualitrace_monitors.config import Config
from qualitrace_monitors.estimate.scores import KEEP_SECONDS
from qualitrace_monitors.progress import quiet_option


@click.command("backtest")
@config_option
@click.option(
    "--since",
    callback=look_back(KEEP_SECONDS, "scores are kept so long"),
    default="30d",
    show_default=True,
    help="How far back, such as 7d or 12h.",
)
@click.option("--rule", "names", multiple=True, metavar="NAME", help="This rule alone; any number of them.")
@click.option("--json", "in_json", is_flag=True, help="JSON instead of text.")
@quiet_option
def backtest(path: Path | None, since: float, names: tuple[str, ...], in_json: bool, quiet: bool) -> None:
    """Show when rules would have fired on the scores that a server has stored, also while it runs.

    The server's state is read, and nothing is written or sent. Each rule begins without knowing what was before.
    """
    config = load_or_exit(path, Config, needs=("data_dir", "judges", "alerts"))
    rules = chosen(config.alerts, names)
    file = state_file(config)
    try:
        found = backtested(file, config.alerts, rules, time.time() - since, quiet=quiet)
    except StateError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(as_json(found), indent=2) if in_json else "\n".join(lines(found)))


def chosen(rules: Sequence[AlertRule], names: Sequence[str]) -> Sequence[AlertRule]:
    """Return the rules of these names, all without any.

    Raises:
        click.UsageError: there is no rule, or none of a name.
    """
    if not rules:
        raise click.UsageError("the configuration has no alert rules: there is nothing to try")
    known = [rule.name for rule in rules]
    if unknown := [name for name in names if name not in known]:
        raise click.UsageError(f"no rule named {unknown[0]!r} under alerts; there are: {', '.join(known)}")
    return [rule for rule in rules if not names or rule.name in names]
