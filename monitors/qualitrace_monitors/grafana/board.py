"""A dashboard in Grafana's classic schema, which releases 10 to 13 take by import and from files.

Grafana 13 turns it into its own form (version 2) when it loads it; earlier releases do not read that form. The
dashboards are made here, not by Grafana's Foundation SDK: its newest release for Python makes those of Grafana 11.6,
and pip prefers that for 10.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from qualitrace_monitors.grafana.panels import DATA_SOURCE, Json

SCHEMA_VERSION = 42
"""The version in `@grafana/schema` 13. Earlier releases of Grafana read the fields that they know."""
TAG = "qualitrace"
COLUMNS = 24  # of Grafana's grid


@dataclass(frozen=True, slots=True)
class Place:
    """A panel, how many columns it takes, and its height: 8 is some 300 pixels."""

    panel: Json
    width: int
    height: int = 8


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a title, from left to right, as many in a line as there is room for."""

    title: str
    places: Sequence[Place]


def query_variable(name: str, label: str, query: str, *, several: bool = False, first: str = "") -> Json:
    """Return a variable whose values are those of a label.

    Args:
        query: `label_values(series, label)`.
        several: more than one may be chosen, and all are at first.
        first: what is chosen at first, if there is one.
    """
    chosen = {"text": ["All"], "value": ["$__all"]} if several else {"text": first, "value": first}
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATA_SOURCE,
        "query": {"query": query, "refId": f"Variable-{name}", "qryType": 1},
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "multi": several,
        "includeAll": several,
        **({"allValue": ".*"} if several else {}),  # also series without the label
        **({"current": chosen} if several or first else {}),
        "options": [],
    }


OF_SERVICES = 'service=~"$service"'
"""The matcher of the services that a reader has chosen by the variable `SERVICES`."""
SERVICES = query_variable("service", "Service", "label_values(qualitrace_traces_total, service)", several=True)


def dashboard(uid: str, title: str, description: str, variables: Sequence[Json], rows: Sequence[Row], web: str) -> Json:
    """Return a dashboard.

    Args:
        web: the address of the web port, to which values lead.
    """
    source: Json = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    own_pages: Json = {"name": "web", "label": "Web port", "type": "textbox", "query": web, "hide": 2}
    own_pages |= {"current": {"text": web, "value": web}, "options": [{"selected": True, "text": web, "value": web}]}
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [_link("Dashboards", type="dashboards", tags=[TAG]), _link("qualitrace", type="link", url="${web}/")],
        "annotations": {"list": [_alerts()]},
        "templating": {"list": [source, *variables, own_pages]},
        "panels": _laid_out(rows),
    }


def _link(title: str, **more: object) -> Json:
    common = {"asDropdown": True, "icon": "external link", "includeVars": True, "keepTime": True, "tags": []}
    return common | {"title": title, "tooltip": "", "targetBlank": False} | more


def _alerts() -> Json:
    """Mark when alerts of the server fired."""
    return {
        "name": "Alerts",
        "datasource": DATA_SOURCE,
        "enable": True,
        "iconColor": "red",
        "target": {"expr": 'qualitrace_alert_state{state="firing"} == 1', "refId": "Alerts"},
        "titleFormat": "{{alert}}",
        "textFormat": "{{service}} {{judge}}",
        "tagKeys": "severity",
    }


def _laid_out(rows: Sequence[Row]) -> list[Json]:
    found: list[Json] = []
    top = 0
    for row in rows:
        found.append(
            {"type": "row", "title": row.title, "collapsed": False, "panels": [], "id": len(found) + 1}
            | _at(0, top, COLUMNS, 1)
        )
        top += 1
        left = height = 0
        for place in row.places:
            if left + place.width > COLUMNS:
                left, top, height = 0, top + height, 0
            found.append({"id": len(found) + 1} | place.panel | _at(left, top, place.width, place.height))
            left, height = left + place.width, max(height, place.height)
        top += height
    return found


def _at(left: int, top: int, width: int, height: int) -> Json:
    return {"gridPos": {"h": height, "w": width, "x": left, "y": top}}
