"""What the panels of a Grafana dashboard ask, and what a real Prometheus answers."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from support.prometheus import ask


@dataclass(frozen=True)
class PanelQuery:
    """A query of a panel."""

    panel: str
    expr: str

    def filled_in(self, variables: Mapping[str, str]) -> str:
        """Return it as Grafana sends it, with the values of the dashboard's variables: of several, all."""
        expr = self.expr.replace("$__rate_interval", "30s")
        expr = re.sub(r'=~"\$\w+"', '=~".*"', expr)
        return re.sub(r"\$(\w+)", lambda name: variables[name[1]].replace("\\", "\\\\").replace('"', '\\"'), expr)


def queries(board: Mapping[str, Any]) -> Iterator[PanelQuery]:
    """Yield the queries of a dashboard's panels, and of its marks."""
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield PanelQuery(panel["title"], target["expr"])
    for mark in board["annotations"]["list"]:
        yield PanelQuery(mark["name"], mark["target"]["expr"])


def is_empty(api: str, expr: str) -> bool:
    """Whether Prometheus finds no number; fails where it does not understand the query."""
    found = ask(f"{api}/query", query=expr)
    assert found is not None, expr
    return not any(math.isfinite(float(series["value"][1])) for series in found["result"])
