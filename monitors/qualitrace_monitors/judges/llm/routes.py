"""Routes that are no plain HTTP call: Amazon Bedrock, which signs its requests, and MLflow's deployment endpoints.

MLflow itself makes these calls; they carry no timeout of ours, and tell no Retry-After.
"""

import asyncio
from typing import Any

from qualitrace_monitors.judges.contract import JudgeError, TransientJudgeError

BEDROCK = ("bedrock", "amazon-bedrock")
ENDPOINTS = "endpoints"
BUSY = frozenset({408, 409, 425, 429})
"""HTTP statuses below 500 that are worth another try."""


def ask_bedrock(provider: Any, payload: dict[str, Any]) -> Any:
    """Ask a Bedrock model by MLflow's provider; returns its chat response. Errors as `failure` tells them."""
    from mlflow.gateway.schemas.chat import RequestPayload

    try:
        return asyncio.run(provider.chat(RequestPayload(**payload)))
    except Exception as error:
        raise failure("bedrock", error) from error


def ask_endpoint(name: str, payload: dict[str, Any]) -> Any:
    """Ask an endpoint of MLflow's deployments target (`MLFLOW_DEPLOYMENTS_TARGET`); returns its chat response."""
    from mlflow.deployments import get_deploy_client
    from mlflow.gateway.schemas.chat import ResponsePayload

    try:
        client: Any = get_deploy_client()
        answer: Any = client.predict(endpoint=name, inputs=payload)
        return ResponsePayload.model_validate({"created": 0, "object": "chat.completion", "model": name, **answer})
    except Exception as error:
        raise failure(ENDPOINTS, error) from error


def failure(route: str, error: Exception) -> JudgeError:
    """Turn any error of such a call into one that tells whether to try again."""
    status = _status(error)
    message = f"{route}: {error}" if status is None else f"{route}: HTTP {status}: {error}"
    name = type(error).__name__
    away = isinstance(error, (ConnectionError, TimeoutError)) or "Throttl" in name or "Connect" in name
    if away or (status is not None and (status in BUSY or status >= 500)):
        return TransientJudgeError(message)
    return JudgeError(message)


def _status(error: Exception) -> int | None:
    """Find the HTTP status: on the gateway's error, on that of requests, or in that of botocore."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
    return status if isinstance(status, int) else None
