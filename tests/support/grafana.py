"""What the panels of a Grafana dashboard ask, and what a real Prometheus answers."""

import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qualitrace_monitors.grafana.command import BOARDS
from support.prometheus import ask

SHOWN_SECONDS = 300


@dataclass(frozen=True)
class PanelQuery:
    """A query of a panel, at one moment or over the time shown."""

    panel: str
    expr: str
    is_instant: bool

    def filled_in(self, variables: Mapping[str, str]) -> str:
        """Return it as Grafana sends it, with the values of the dashboard's variables: of several, all."""
        expr = self.expr.replace("$__rate_interval", "30s").replace("$__range", f"{SHOWN_SECONDS}s")
        expr = re.sub(r'=~"\$\w+"', '=~".*"', expr)
        return re.sub(r"\$(\w+)", lambda name: variables[name[1]].replace("\\", "\\\\").replace('"', '\\"'), expr)


def queries(board: Mapping[str, Any]) -> Iterator[PanelQuery]:
    """Yield the queries of a dashboard's panels, and of its marks."""
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield PanelQuery(panel["title"], target["expr"], target.get("instant", False))
    for mark in board["annotations"]["list"]:
        yield PanelQuery(mark["name"], mark["target"]["expr"], is_instant=False)


def empty_panels(api: str, service: str) -> list[str]:
    """Return the titles of all dashboards' panels that show nothing of the local judge of groundedness."""
    chosen = {"service": service, "judge": "groundedness", "tier": "local", "window": "1h"}
    asked = [query for make in BOARDS for query in queries(make("http://127.0.0.1:9464"))]
    return [query.panel for query in asked if _is_empty(api, query, chosen)]


def _is_empty(api: str, query: PanelQuery, variables: Mapping[str, str]) -> bool:
    """Whether Prometheus finds no number; fails where it does not understand the query."""
    expr, now = query.filled_in(variables), time.time()
    if query.is_instant:
        found = ask(f"{api}/query", query=expr)
    else:
        found = ask(f"{api}/query_range", query=expr, start=str(now - SHOWN_SECONDS), end=str(now), step="1")
    assert found is not None, expr
    points = [point for series in found["result"] for point in series.get("values", [series.get("value")])]
    return not any(math.isfinite(float(value)) for _, value in points)
