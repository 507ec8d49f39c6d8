"""The `work` process: everything behind the journal — collect, judge, alert, notify — and the web port.

`python -m qualitrace_monitors.work [--config FILE] [--parts collector,monitor]`
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from qualitrace_collector.config import Config, ConfigError, load_config
from qualitrace_collector.journal import JournalError
from qualitrace_collector.state import StateError
from qualitrace_monitors.supervise import stop_event

_log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0
PARENT_CHECK_SECONDS = 1.0

MLFLOW_ENVIRONMENT = {
    "MLFLOW_MODEL_CATALOG_URI": "",  # prices from the bundled catalog: no network while storing spans
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # our own loops retry, and must stay able to stop
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


def run(config: Config, parts: Sequence[str]) -> None:
    """Run the chosen parts until SIGTERM or SIGINT, or until the parent process is gone."""
    stop = stop_event()
    from qualitrace_monitors.services import Services  # imports mlflow: seconds

    services = Services(config, collect="collector" in parts, monitor="monitor" in parts)
    services.start()
    parent = os.getppid()
    while not stop.wait(PARENT_CHECK_SECONDS) and os.getppid() == parent:
        pass
    services.stop(time.time() + DRAIN_SECONDS)


def main() -> int:
    """Parse the arguments and run; errors at start are told in one line, exit code 1."""
    parser = argparse.ArgumentParser(prog="qualitrace_monitors.work")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--parts", default="collector,monitor")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("alembic", "mlflow.store.db", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name, value in MLFLOW_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        run(load_config(arguments.config), arguments.parts.split(","))
    except (ConfigError, StateError, JournalError, OSError) as error:
        print(f"qualitrace: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
