"""Templates with what all of them share. Texts from outside are escaped."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from qualitrace_collector.config.values import amount_text
from qualitrace_monitors.moments import instant, second
from qualitrace_monitors.web.assets import ASSETS, version

LEAST_CLEAR = 10
"""How many independent scores a rate in bold rests on at least: with fewer it says little."""


def render(template: str, context: Mapping[str, Any]) -> bytes:
    """Return a page as HTML in UTF-8."""
    return _ENVIRONMENT.get_template(template).render(context).encode()


def age(seconds: float) -> str:
    """Write a span of time in its largest unit: `12 s`, `3 min`, `5 h`, `2 d`."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def percent(share: float) -> str:
    """Write a share of 1 in percent, with one decimal."""
    return f"{100 * share:.1f} %"


def short_minute(at: float) -> str:
    """Write Unix seconds as month, day, hour and minute in UTC, for rows of a month at most."""
    return datetime.fromtimestamp(at, UTC).strftime("%m-%d %H:%M")


def service_path(service: str, judge: str = "") -> str:
    """Return the address of a service's page, or of one of its judges, from the root on."""
    parts = (("service", service), ("judge", judge))
    return "/".join(f"{kind}/{quote(name, safe='')}" for kind, name in parts if name)


def trace_path(trace_id: str) -> str:
    """Return the address of the page of an answer, from the root on."""
    return f"trace/{quote(trace_id, safe='')}"


_ENVIRONMENT = Environment(
    loader=PackageLoader("qualitrace_monitors.web"),
    autoescape=True,
    undefined=StrictUndefined,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(
    amount=amount_text, age=age, percent=percent, moment=second, minute=short_minute, instant=instant
)
_GLOBALS: dict[str, Any] = {
    "version": version,
    "assets": ASSETS,
    "service_path": service_path,
    "trace_path": trace_path,
    "least_clear": LEAST_CLEAR,
}
_ENVIRONMENT.globals.update(_GLOBALS)
for _name in _ENVIRONMENT.list_templates():
    _ENVIRONMENT.get_template(_name)  # now: an upgrade replaces them before the server starts again
