"""The `work` process: everything behind the journal — collect, judge, alert, notify — and the web port.

It is one process because Prometheus' client has no exemplars in its mode for several.

`python -m qualitrace_monitors.server.work [--config FILE] [--parts collector,monitor]`
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import click

from qualitrace_collector.cli import config_option, load_or_exit
from qualitrace_collector.http_server.listener import ListenError
from qualitrace_collector.journal import JournalError
from qualitrace_collector.mlflow_store.reach import check_database
from qualitrace_collector.mlflow_store.unavailable import StoreUnavailable
from qualitrace_collector.process import watchdog
from qualitrace_collector.process.descriptors import raise_descriptor_limit
from qualitrace_collector.process.private_files import create_private_files
from qualitrace_collector.process.startup import (
    apply_mlflow_settings,
    collect_garbage_seldom,
    configure_logging,
    end_with_supervisor,
    leave_hangup_to_supervisor,
    log_line,
    stop_event,
    without_garbage_collection,
)
from qualitrace_collector.state import Database, StateError
from qualitrace_collector.state.database import FILE_NAME
from qualitrace_monitors.config import Config
from qualitrace_monitors.judges.llm.fences import FenceKeyError
from qualitrace_monitors.reload.channel import Reloader

DRAIN_SECONDS = 5.0
SIGNAL_CHECK_SECONDS = 1.0
LOCK_SECONDS = 3.0
"""How long a lock may take before the log names it."""

_log = logging.getLogger(__name__)


def run(config: Config, parts: Sequence[str]) -> None:
    """Run the chosen parts until SIGTERM or SIGINT, and then end the process."""
    raise_descriptor_limit()
    stop = stop_event()
    _name_what_is_locked_or_away(config)
    apply_mlflow_settings(config.mlflow.token)
    with without_garbage_collection():
        from qualitrace_monitors.server.services import Services  # imports mlflow, which reads the settings at once

    reloader = Reloader.of_supervisor()
    services = Services(config, collect="collector" in parts, monitor="monitor" in parts, reloader=reloader)
    services.start()
    watchdog.tell_started()
    collect_garbage_seldom()
    while not stop.wait(SIGNAL_CHECK_SECONDS):
        if services.ready:
            watchdog.tell_ready()
    services.stop(time.time() + DRAIN_SECONDS)
    os._exit(0)  # the interpreter would wait for calls of judges that hang


def _name_what_is_locked_or_away(config: Config) -> None:
    """Log what this start waits for, before mlflow is loaded, which takes seconds.

    Raises:
        StateError: the state database cannot be used.
    """
    state = config.data_dir / FILE_NAME
    text = "waiting for %s: another process holds its lock"
    timer = threading.Timer(LOCK_SECONDS, _log.warning, (text, state))
    timer.start()
    try:
        Database(state).close()
    finally:
        timer.cancel()
    try:
        check_database(config.tracking_uri)
    except StoreUnavailable as error:
        _log.warning("%s: %s; waiting for it", error.problem, error)


@click.command()
@config_option
@click.option("--parts", default="collector,monitor")
def main(path: Path | None, parts: str) -> None:
    """Run the process; report an error at start in one line, with exit code 1."""
    leave_hangup_to_supervisor()
    create_private_files()
    end_with_supervisor()
    watchdog.tell_alive_in_a_thread()
    watchdog.show_stacks_on_signal()
    configure_logging()
    config = load_or_exit(path, Config)
    try:
        run(config, parts.split(","))
    except (StateError, JournalError, FenceKeyError, ListenError) as error:
        sys.exit(log_line(f"qualitrace: {error}", logging.CRITICAL))


if __name__ == "__main__":
    main()
