"""One log format for every process; libraries that chatter are held to warnings."""

import logging

CHATTY = ("alembic", "mlflow.store.db", "httpx", "httpcore", "uvicorn")

TOLD_BY_US = {
    "urllib3.connectionpool": logging.ERROR,  # it warns of each retry of a call of MLflow
    "mlflow.store.db.utils": logging.CRITICAL,  # it logs a refused statement with its values: what users wrote
}
"""Loggers of failures that we tell of by ourselves, and from which level on they may speak."""


def configure_logging() -> None:
    """Log to standard error from INFO on."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name, level in TOLD_BY_US.items():
        logging.getLogger(name).setLevel(level)
