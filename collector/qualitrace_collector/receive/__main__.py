"""The `receive` process: `python -m qualitrace_collector.receive [--config FILE]`."""

import argparse
import logging
import sys
from pathlib import Path

from qualitrace_collector.config import load_config
from qualitrace_collector.receive.server import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="qualitrace_collector.receive")
    parser.add_argument("--config", type=Path)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    sys.exit(main(load_config(parser.parse_args().config)))
