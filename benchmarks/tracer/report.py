"""The results: a Markdown table to read, and JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tracer.measure import STATES, WORK, Results, Spread, added, ratios
from tracer.peers import BASELINE, REFERENCE

_COLUMNS = (
    "tracer", "version", "chat µs", "× OTel", "stream µs", "× OTel", "start ms", "exit, dead s", "exit, hanging s",
    "RSS MiB", "spans/call",
)  # fmt: skip


def print_table(results: Mapping[str, Results]) -> None:
    """Print a row for each tracer: medians, with quartiles where rounds vary."""
    table = Table(*_COLUMNS, box=box.MARKDOWN)
    for name, result in results.items():
        table.add_row(*_row(results, name, result))
    Console(width=200).print(table)


def as_json(results: Mapping[str, Results]) -> dict[str, Any]:
    """Return everything that was measured, and what was made of it."""
    return {name: asdict(result) | _summary(results, name) for name, result in results.items()}


def _summary(results: Mapping[str, Results], name: str) -> dict[str, Any]:
    if name == BASELINE:
        return {}
    made: dict[str, Callable[..., Sequence[float]]] = {"added": added, "ratio_to_otel": ratios}
    return {key: {work: asdict(Spread.of(find(results, name, work))) for work in WORK} for key, find in made.items()}


def _row(results: Mapping[str, Results], name: str, result: Results) -> list[str]:
    is_baseline = name == BASELINE
    cells = [name, result.version]
    for work in WORK:
        spent = result.cpu[work] if is_baseline else added(results, name, work)
        cells.append(f"{'' if is_baseline else '+'}{Spread.of(spent).median * 1e6:,.0f}")
        cells.append("" if name in (BASELINE, REFERENCE) else _spread(ratios(results, name, work)))
    more = result.rss_mib - (0 if is_baseline else results[BASELINE].rss_mib)
    return [
        *cells,
        f"{Spread.of(result.starts).median * 1e3:,.0f}",
        *(_seconds(Spread.of(result.exits[state]).median) for state in STATES),
        f"{'' if is_baseline else '+'}{more:,.0f}",
        f"{result.spans_per_call:.1f}",
    ]


def _spread(values: Sequence[float]) -> str:
    spread = Spread.of(values)
    return f"{spread.median:.2f} ({spread.low:.2f}–{spread.high:.2f})"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value != float("inf") else "> 60"
