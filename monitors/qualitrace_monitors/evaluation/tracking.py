"""MLflow's tracking URI for the time of a block, and the caller's again afterwards."""

import os
from collections.abc import Generator
from contextlib import contextmanager

from mlflow.environment_variables import MLFLOW_TRACKING_URI
from mlflow.tracking._tracking_service.utils import _use_tracking_uri  # pyright: ignore[reportPrivateUsage]


@contextmanager
def tracking(uri: str | None) -> Generator[None]:
    """Use a tracking URI in the block; None changes nothing."""
    if uri is None:
        yield
        return
    before = os.environ.get(MLFLOW_TRACKING_URI.name)
    try:
        with _use_tracking_uri(uri):
            yield
    finally:  # MLflow takes the variable away with the URI
        if before is not None:
            os.environ[MLFLOW_TRACKING_URI.name] = before
