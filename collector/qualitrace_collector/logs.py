"""One log format for every process; libraries that chatter are held to warnings."""

import logging

CHATTY = ("alembic", "mlflow.store.db", "httpx", "httpcore", "uvicorn")

# It warns of each retry of a call of MLflow, whose failure we tell of by ourselves.
RETRIES = "urllib3.connectionpool"


def configure_logging() -> None:
    """Log to standard error from INFO on."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger(RETRIES).setLevel(logging.ERROR)
