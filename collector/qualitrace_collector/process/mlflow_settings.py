"""How MLflow behaves inside our processes; to be applied before it is imported."""

import os

from pydantic import SecretStr

ENVIRONMENT = {
    # Prices from the bundled catalog: the first model span of a provider would otherwise wait for the network.
    "MLFLOW_MODEL_CATALOG_URI": "",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Our own loops retry, and must stay able to stop.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


def apply_mlflow_settings(token: SecretStr | None = None) -> None:
    """Set what the user's environment does not set, and the tracking server's `token`, which MLflow reads there."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if token is not None:
        os.environ["MLFLOW_TRACKING_TOKEN"] = token.get_secret_value()
