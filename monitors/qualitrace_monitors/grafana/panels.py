"""Panels, in Grafana's classic schema: what a query asks, and how its answer is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
PERCENT, SECONDS, USD, PER_SECOND, COUNT = "percentunit", "s", "currencyUSD", "cps", "short"
RATE = "[$__rate_interval]"
"""The window of a rate: Grafana makes it at least four scrapes long."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query of Prometheus.

    Attributes:
        expr: PromQL, with the dashboard's variables.
        legend: how a series is called, with its labels in double braces.
        exemplars: points lead to traces: those of histograms and counters of traces, calls and scores.
    """

    expr: str
    legend: str = "__auto"
    exemplars: bool = False

    def target(self, number: int, **more: Any) -> Json:
        """Return it as one of a panel's targets."""
        return {
            "datasource": DATA_SOURCE,
            "editorMode": "code",
            "expr": self.expr,
            "legendFormat": self.legend,
            "range": True,
            "refId": chr(ord("A") + number),
        } | more


def or_zero(expr: str) -> str:
    """Write an expression that is 0 where nothing was counted yet, which is not missing data."""
    return f"{expr} or on() vector(0)"


def steps(*limits: tuple[float, str], first: str = "green") -> Json:
    """Return thresholds: the colour below the first limit, and from each limit on."""
    base: list[Json] = [{"color": first, "value": None}]
    return {"mode": "absolute", "steps": base + [{"color": color, "value": value} for value, color in limits]}


def mappings(texts: Mapping[int, tuple[str, str]]) -> list[Json]:
    """Return what stands in the place of values: a text and its colour each."""
    options = {str(value): {"color": color, "index": value, "text": text} for value, (text, color) in texts.items()}
    return [{"options": options, "type": "value"}]


def link(title: str, url: str) -> Json:
    """Return a link of a value to another page."""
    return {"title": title, "url": url, "targetBlank": True}


def lines(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    limits: Json | None = None,
    stacked: bool = False,
    **defaults: Any,
) -> Json:
    """Return a panel with a line for each series.

    Args:
        limits: thresholds, which are drawn as lines.
        stacked: series add up to a whole.
        defaults: further settings of all fields, such as `min`.
    """
    custom: Json = {
        "drawStyle": "line",
        "fillOpacity": 30 if stacked else 8,
        "lineWidth": 1,
        "showPoints": "auto",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
        "thresholdsStyle": {"mode": "off" if limits is None else "line"},
    }
    targets = [query.target(number, exemplar=query.exemplars) for number, query in enumerate(queries)]
    return panel("timeseries", title, description, targets) | {
        "fieldConfig": fields(unit, limits, {"color": {"mode": "palette-classic"}, "custom": custom} | defaults),
        "options": {
            "legend": {
                "calcs": ["lastNotNull", "max"],
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def band(title: str, description: str, value: Query, lower: str, upper: str, *, unit: str, **defaults: Any) -> Json:
    """Return a panel with one line and the interval around it.

    Args:
        lower, upper: PromQL of the interval's ends.
    """
    ends = (Query(lower, "lower"), Query(upper, "upper"))
    found = lines(title, description, value, *ends, unit=unit, **defaults)
    found["fieldConfig"]["defaults"]["custom"]["fillOpacity"] = 0
    faint = [
        ("custom.lineWidth", 0),
        ("custom.showPoints", "never"),
        ("color", {"fixedColor": "blue", "mode": "fixed"}),
    ]
    found["fieldConfig"]["overrides"] = [
        override("lower", *faint),
        override("upper", *faint, ("custom.fillBelowTo", "lower"), ("custom.fillOpacity", 20)),
        override(value.legend, ("custom.lineWidth", 2), ("color", {"fixedColor": "blue", "mode": "fixed"})),
    ]
    return found


def stat(
    title: str, description: str, query: Query, *, unit: str, limits: Json | None = None, nothing: str = "no data"
) -> Json:
    """Return a panel with one number.

    Args:
        nothing: what is shown in place of a missing number.
    """
    more: Json = {"color": {"mode": "fixed" if limits is None else "thresholds"}, "noValue": nothing}
    return panel("stat", title, description, [query.target(0)]) | {
        "fieldConfig": fields(unit, limits, more),
        "options": {
            "colorMode": "none" if limits is None else "background",
            "graphMode": "area",
            "justifyMode": "auto",
            "orientation": "auto",
            "percentChangeColorMode": "standard",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showPercentChange": False,
            "textMode": "auto",
            "wideLayout": True,
        },
    }


def heatmap(title: str, description: str, query: Query) -> Json:
    """Return a panel that shows how a histogram changes."""
    target = query.target(0, format="heatmap", exemplar=query.exemplars)
    return panel("heatmap", title, description, [target]) | {
        "fieldConfig": {"defaults": {}, "overrides": []},
        "options": {
            "calculate": False,
            "cellGap": 1,
            "color": {
                "exponent": 0.5,
                "fill": "dark-orange",
                "mode": "scheme",
                "reverse": False,
                "scale": "exponential",
                "scheme": "Blues",
                "steps": 64,
            },
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "showValue": "never",
            "tooltip": {"mode": "single", "yHistogram": False},
            "yAxis": {"axisPlacement": "left", "reverse": False, "unit": "short"},
        },
    }


def states(title: str, description: str, query: Query, texts: Mapping[int, tuple[str, str]]) -> Json:
    """Return a panel with a bar for each series, in the text and the colour of its value."""
    return panel("state-timeline", title, description, [query.target(0)]) | {
        "fieldConfig": fields(
            "none",
            None,
            {
                "color": {"mode": "thresholds"},
                "custom": {"fillOpacity": 70, "lineWidth": 0},
                "mappings": mappings(texts),
            },
        ),
        "options": {
            "alignValue": "left",
            "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False},
            "mergeValues": True,
            "rowHeight": 0.9,
            "showValue": "auto",
            "tooltip": {"mode": "single", "sort": "none"},
        },
    }


def alert_list(title: str, description: str) -> Json:
    """Return the list of what fires by Grafana's own rules, and by those of its Prometheus."""
    return panel("alertlist", title, description, []) | {
        "options": {
            "alertInstanceLabelFilter": "",
            "alertName": "",
            "dashboardAlerts": False,
            "groupBy": [],
            "groupMode": "default",
            "maxItems": 20,
            "showInactiveAlerts": False,
            "sortOrder": 1,
            "stateFilter": {"error": True, "firing": True, "noData": False, "normal": False, "pending": True},
            "viewMode": "list",
        }
    }


def panel(kind: str, title: str, description: str, targets: Sequence[Json]) -> Json:
    """Return what panels of every kind have; without a query, such as a list of alerts, it has no data source."""
    found: Json = {"type": kind, "title": title, "description": description}
    return found | {"datasource": DATA_SOURCE, "targets": list(targets)} if targets else found


def fields(unit: str, limits: Json | None, more: Mapping[str, Any]) -> Json:
    """Return the settings of all fields of a panel."""
    thresholds = steps(first="text") if limits is None else limits
    return {"defaults": {"unit": unit, "thresholds": thresholds, **more}, "overrides": []}


def override(name: str, *properties: tuple[str, Any]) -> Json:
    """Return other settings for the field of that name."""
    settings = [{"id": setting, "value": value} for setting, value in properties]
    return {"matcher": {"id": "byName", "options": name}, "properties": settings}
