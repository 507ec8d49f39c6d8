"""The `receive` process: `python -m qualitrace_collector.receive [--config FILE]`."""

import argparse
import sys
from pathlib import Path

from qualitrace_collector.config import load_config
from qualitrace_collector.process.private_files import create_private_files
from qualitrace_collector.process.startup import configure_logging, leave_hangup_to_supervisor
from qualitrace_collector.receive.server import main
from qualitrace_collector.receive.settings import ReceiveConfig

if __name__ == "__main__":
    leave_hangup_to_supervisor()
    parser = argparse.ArgumentParser(prog="qualitrace_collector.receive")
    parser.add_argument("--config", type=Path)
    create_private_files()
    configure_logging()
    sys.exit(main(load_config(parser.parse_args().config, ReceiveConfig)))
