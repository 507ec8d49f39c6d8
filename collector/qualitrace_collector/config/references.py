"""Mistakes that no single field shows: names that point nowhere, names used twice, open doors.

They are looked for in the raw mapping, so that they are reported together with the mistakes in the fields.
"""

from collections.abc import Iterator
from typing import Any

from qualitrace_collector.config.models import LOCAL_JUDGES
from qualitrace_collector.config.values import split_address

Mistake = tuple[str, str]
"""Path in the file, what is wrong there."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def reference_mistakes(data: dict[str, Any]) -> Iterator[Mistake]:
    """Yield every mistake between sections of the raw configuration `data`."""
    judges = _names(data.get("judges", list(LOCAL_JUDGES)))
    yield from _doubled("judges", judges)
    yield from _doubled("alerts", _names(data.get("alerts", [])))
    receivers = data.get("notify")
    known_receivers = list(receivers) if isinstance(receivers, dict) else []
    for path, section in _notifying_sections(data):
        judge = section.get("judge")
        if isinstance(judge, str) and judge not in judges:
            yield f"{path}.judge", f"no judge named {judge!r} under judges"
        for receiver in _strings(section.get("notify")):
            if receiver not in known_receivers:
                yield f"{path}.notify", f"no receiver named {receiver!r} under notify"
    yield from _open_doors(data.get("listen"), data.get("otlp"))


def _notifying_sections(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    alerts = data.get("alerts")
    for index, rule in enumerate(alerts if isinstance(alerts, list) else []):
        if isinstance(rule, dict):
            yield f"alerts.{index}", rule
    heartbeat = data.get("heartbeat")
    if isinstance(heartbeat, dict):
        yield "heartbeat", heartbeat


def _names(entries: Any) -> list[str]:
    if not isinstance(entries, list):
        return []
    names = [entry.get("name") if isinstance(entry, dict) else entry for entry in entries]
    return [name for name in names if isinstance(name, str)]


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _doubled(section: str, names: list[str]) -> Iterator[Mistake]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield section, f"the name {name!r} stands twice"


def _open_doors(listen: Any, otlp: Any) -> Iterator[Mistake]:
    if not isinstance(listen, dict):
        return
    if not (listen.get("web_token") or listen.get("web_token_file")):
        mend = "set listen.web_token (or web_token_file), or bind 127.0.0.1"
        yield from _open_door(listen, "web", mend)
    if not _is_guarded(otlp):
        mend = (
            "set otlp.tokens or otlp.tls.client_ca_file, bind 127.0.0.1, "
            "or set otlp.allow_unauthenticated: true if every host that reaches it is trusted"
        )
        yield from _open_door(listen, "otlp_http", mend)
        yield from _open_door(listen, "otlp_grpc", mend)


def _is_guarded(otlp: Any) -> bool:
    """Tell whether the OTLP doors ask who is there, or are open by intent."""
    if not isinstance(otlp, dict):
        return False
    tls = otlp.get("tls")
    asks = bool(otlp.get("tokens")) or (isinstance(tls, dict) and bool(tls.get("client_ca_file")))
    return asks or otlp.get("allow_unauthenticated") is True


def _open_door(listen: dict[str, Any], door: str, mend: str) -> Iterator[Mistake]:
    address = listen.get(door)
    if not isinstance(address, str) or ":" not in address or not address.rpartition(":")[2].isdecimal():
        return
    host = split_address(address)[0]
    if host and host not in LOOPBACK:
        yield f"listen.{door}", f"{host} is not loopback: {mend}"
