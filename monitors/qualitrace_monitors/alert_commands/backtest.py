"""The command `qualitrace alerts backtest`."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from qualitrace_collector.cli import config_option, load_or_exit, look_back, state_file
from qualitrace_collector.state import Database, StateError
from qualitrace_collector.state.database import FILE_NAME
from qualitrace_monitors.alert_commands.progress import Progress
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.backtest.history import History, Wanted
from qualitrace_monitors.backtest.replay import BETTING, REPLAYED, Replay
from qualitrace_monitors.backtest.report import Backtest, as_json, lines
from qualitrace_monitors.config import Config
from qualitrace_monitors.estimate.scores import KEEP_SECONDS


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
def backtest(path: Path | None, since: float, names: tuple[str, ...], in_json: bool) -> None:
    """Show when rules would have fired on the scores that a server has stored, also while it runs.

    The server's state is read, and nothing is written or sent. Each rule begins without knowing what was before.
    """
    config = load_or_exit(path, Config, needs=("data_dir", "judges", "alerts"))
    rules = chosen(config.alerts, names)
    file = state_file(config)
    try:
        found = _replayed(file, config.alerts, rules, time.time() - since)
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


def _wanted(rules: Sequence[AlertRule], since: float) -> Wanted:
    """Return what these rules read, of what was kept."""
    budgets = {rule.judge: rule.when.period for rule in rules if rule.judge and rule.when.kind == "slo"}
    return Wanted(
        judges={rule.judge for rule in rules if rule.judge},
        summed=budgets,
        since=since,
        before=max(budgets.values(), default=0.0),
        requests=any(rule.judge is None for rule in rules),
    )


def _replayed(file: Path, all_rules: Sequence[AlertRule], rules: Sequence[AlertRule], since: float) -> Backtest:
    replayed = [rule for rule in rules if rule.when.kind in REPLAYED]
    silence = min((rule.session_silence for rule in all_rules if rule.when.kind in BETTING), default=0.0)
    with TemporaryDirectory(prefix="qualitrace-backtest-") as folder:
        until = time.time()
        history = History.copy(
            file, Path(folder, "history.db"), _wanted(replayed, since), until, Progress("scores read")
        )
        scratch = Database(Path(folder, FILE_NAME))
        replay = Replay(replayed, silence, scratch, since, history.minutes_since)
        until = max(until, history.last_at)
        progress = Progress(f"of {history.scores:,} scores replayed")
        for done in replay.run(history, until, history.requests()):
            progress(done)
        scratch.close()
    return Backtest(rules=rules, history=history, courses=replay.courses, since=since, until=until)
