"""Stands for the people on call: prints what Alertmanager's webhook receiver gets.

`uvicorn qualitrace_monitors.demo.pager:app`, with the webhook at `/alerts` (payload version 4).
"""

from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def page(request: Request) -> Response:
    """Print each alert of a notification on a line of its own; answer 204."""
    payload: dict[str, Any] = await request.json()
    for alert in payload["alerts"]:
        labels = " ".join(f"{name}={value}" for name, value in sorted(alert["labels"].items()) if name != "alertname")
        summary = alert.get("annotations", {}).get("summary", "")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        print(f"{now} {alert['status'].upper()} {alert['labels']['alertname']} {labels}: {summary}", flush=True)
    return Response(status_code=204)


app = Starlette(routes=[Route("/alerts", page, methods=["POST"])])
