"""Addresses of every page, with data of `many_scores` behind them."""

from collections.abc import Mapping, Sequence

from qualitrace_monitors.notify.payload import rfc3339
from support.many_scores import JUDGES

SERVICE = "/service/service-01"
JUDGE = f"{SERVICE}/judge/{JUDGES[0]}"
TRACE = f"/trace/tr-{0:032x}"


def addresses(now: float) -> Mapping[str, Sequence[str]]:
    """Return addresses of each page by its path in the registry; `now` is in Unix seconds."""
    from_then = f"from={rfc3339(now - 86_400 * 3)}"
    return {
        "/": ("/",),
        "/answers": (
            "/answers",
            "/answers?verdict=any&order=worst&window=30d",
            f"/answers?service=service-01&judge={JUDGES[0]}&window=30d&verdict=fail",
        ),
        "/alerts": ("/alerts", "/alerts?service=service-01"),
        "/alerts/event/{number}": ("/alerts/event/1",),
        "/operation": ("/operation",),
        "/runbook/{name}": ("/runbook/quality",),
        "/service/{names:path}": (
            f"{SERVICE}?window=24h",
            f"{SERVICE}?window=30d",
            f"{JUDGE}?window=1h",
            f"{JUDGE}?window=24h",
            f"{JUDGE}?{from_then}&tier=local",
            f"{JUDGE}?window=30d&by=route&a=%2Froute%2F1&b=%2Froute%2F2",
        ),
        "/trace/{trace_id:path}": (TRACE,),
    }
