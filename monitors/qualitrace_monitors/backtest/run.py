"""A backtest from the state database to what is reported."""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from qualitrace_collector.state import Database
from qualitrace_collector.state.database import FILE_NAME
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.backtest.history import History, Wanted
from qualitrace_monitors.backtest.replay import BETTING, REPLAYED, Replay
from qualitrace_monitors.backtest.report import Backtest
from qualitrace_monitors.progress import Progress


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


def backtested(
    file: Path,
    all_rules: Sequence[AlertRule],
    rules: Sequence[AlertRule],
    since: float,
    *,
    quiet: bool = True,
) -> Backtest:
    """Replay what a server has stored since a moment (Unix seconds); its state is read alone, also while it runs.

    Args:
        file: the state database.
        all_rules: of the configuration; they decide when sessions are over.
        rules: those to replay.
        quiet: show no progress.

    Raises:
        StateError: the file cannot be read.
    """
    replayed = [rule for rule in rules if rule.when.kind in REPLAYED]
    silence = min((rule.session_silence for rule in all_rules if rule.when.kind in BETTING), default=0.0)
    with TemporaryDirectory(prefix="qualitrace-backtest-") as folder:
        until = time.time()
        with Progress("reading scores", quiet=quiet) as progress:
            history = History.copy(file, Path(folder, "history.db"), _wanted(replayed, since), until, progress)
        scratch = Database(Path(folder, FILE_NAME))
        replay = Replay(replayed, silence, scratch, since, history.minutes_since)
        until = max(until, history.last_at)
        with Progress("replaying scores", history.scores, quiet=quiet) as progress:
            for done in replay.run(history, until, history.requests()):
                progress(done)
        scratch.close()
    return Backtest(rules=rules, history=history, courses=replay.courses, since=since, until=until)
