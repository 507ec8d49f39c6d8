"""Tables: a row for each set of labels, with the answers of several queries side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qualitrace_monitors.grafana.panels import Json, Query, fields, mappings, override, panel


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers of a table, with its unit and its thresholds, or with the texts that stand for its values."""

    title: str
    query: Query
    unit: str
    limits: Json | None = None
    texts: Mapping[int, tuple[str, str]] | None = None


def table(
    title: str,
    description: str,
    columns: Sequence[Column],
    *,
    labels: Mapping[str, str],
    links: Sequence[Json] = (),
    highest_first: bool = False,
    nothing: str = "no data",
) -> Json:
    """Return a table with a row for each set of labels, in the order of its first column of numbers.

    Args:
        labels: the labels that it shows, each with the title of its column.
        links: where the first label leads.
        highest_first: the row with the highest number is the first, not that with the lowest.
        nothing: what is shown in place of rows.
    """
    targets = [column.query.target(n, format="table", instant=True, range=False) for n, column in enumerate(columns)]
    values = {f"Value #{chr(ord('A') + n)}" if len(columns) > 1 else "Value": c.title for n, c in enumerate(columns)}
    names = [*labels, *values]
    overrides = [override(column.title, *_settings(column)) for column in columns]
    if links:
        overrides.insert(0, override(next(iter(labels.values())), ("links", list(links))))
    custom = {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}
    return panel("table", title, description, targets) | {
        "fieldConfig": fields("string", None, {"custom": custom, "noValue": nothing}) | {"overrides": overrides},
        "options": {
            "cellHeight": "sm",
            "frameIndex": 0,
            "showHeader": True,
            "sortBy": [{"desc": highest_first, "displayName": columns[0].title}],
        },
        "transformations": [
            {"id": "merge", "options": {}},
            {"id": "filterFieldsByName", "options": {"include": {"names": names}}},
            {
                "id": "organize",
                "options": {
                    "indexByName": {name: place for place, name in enumerate(names)},
                    "renameByName": {**labels, **values},
                },
            },
        ],
    }


def _settings(column: Column) -> list[tuple[str, Any]]:
    settings: list[tuple[str, Any]] = [("unit", column.unit)]
    if column.limits is not None:
        settings += [("thresholds", column.limits), ("custom.cellOptions", {"type": "color-text"})]
    if column.texts is not None:
        settings += [("mappings", mappings(column.texts)), ("custom.cellOptions", {"type": "color-text"})]
    return settings
