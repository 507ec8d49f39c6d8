"""The `work` process: everything behind the journal — collect, judge, alert, notify — and the web port.

`python -m qualitrace_monitors.server.work [--config FILE] [--parts collector,monitor]`
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from qualitrace_collector.config import ConfigError, load_config
from qualitrace_collector.journal import JournalError
from qualitrace_collector.process.startup import (
    apply_mlflow_settings,
    collect_garbage_seldom,
    configure_logging,
    when_parent_ends,
)
from qualitrace_collector.state import StateError
from qualitrace_monitors.config import Config
from qualitrace_monitors.server.supervise import stop_event
from qualitrace_monitors.web import WebServerError

DRAIN_SECONDS = 5.0
SIGNAL_CHECK_SECONDS = 1.0


def run(config: Config, parts: Sequence[str]) -> None:
    """Run the chosen parts until SIGTERM or SIGINT, or until the parent process is gone."""
    stop = stop_event()
    when_parent_ends(stop.set)
    from qualitrace_monitors.server.services import Services  # imports mlflow: seconds

    services = Services(config, collect="collector" in parts, monitor="monitor" in parts)
    services.start()
    collect_garbage_seldom()
    while not stop.wait(SIGNAL_CHECK_SECONDS):  # a signal that another thread receives does not end an endless wait
        pass
    if not services.stop(time.time() + DRAIN_SECONDS):
        os._exit(0)  # the interpreter would wait for the calls that hang


def main() -> int:
    """Parse the arguments and run; errors at start are told in one line, exit code 1."""
    parser = argparse.ArgumentParser(prog="qualitrace_monitors.server.work")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--parts", default="collector,monitor")
    arguments = parser.parse_args()
    configure_logging()
    try:
        config = load_config(arguments.config, Config)
        apply_mlflow_settings(config.mlflow.token)
        run(config, arguments.parts.split(","))
    except (ConfigError, StateError, JournalError, WebServerError) as error:
        print(f"qualitrace: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
