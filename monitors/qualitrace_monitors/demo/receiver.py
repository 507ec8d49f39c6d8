"""The receiver of alerts: Alertmanager webhook payloads (version 4), signed by Standard Webhooks."""

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a notification; `status` is firing or resolved."""

    name: str
    status: str
    summary: str


def new_secret() -> str:
    """Make a signing key in the form of Standard Webhooks: `whsec_` and 24 random bytes in base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def receiver_app(secret: str, on_alert: Callable[[Alert], None]) -> Starlette:
    """Make a receiver at `/alerts` that calls `on_alert` for each alert, once per webhook id.

    It answers 401 to what `secret` did not sign, and 204 otherwise.
    """
    webhook = Webhook(secret)
    seen: set[str] = set()

    async def receive(request: Request) -> Response:
        try:
            payload: dict[str, Any] = webhook.verify(await request.body(), dict(request.headers))
        except (WebhookVerificationError, ValueError) as error:
            return JSONResponse({"error": f"signature refused: {error}"}, status_code=401)
        webhook_id = request.headers["webhook-id"]
        if webhook_id not in seen:
            seen.add(webhook_id)
            for alert in payload["alerts"]:
                on_alert(_alert(alert))
        return Response(status_code=204)

    return Starlette(routes=[Route("/alerts", receive, methods=["POST"])])


def _alert(raw: dict[str, Any]) -> Alert:
    annotations = raw.get("annotations", {})
    return Alert(
        name=raw["labels"]["alertname"],
        status=raw["status"],
        summary=annotations.get("summary", ""),
    )
