"""The results: a Markdown table to read, and JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tracer.measure import STATES, Results, Spread, added, ratios
from tracer.peers import BASELINE, REFERENCE
from tracer.running import WORK

_COLUMNS = (
    "tracer", "version", "chat µs", "× OTel", "stream µs", "× OTel", "start ms", "exit, dead s", "exit, hanging s",
    "RSS MiB", "spans/call",
)  # fmt: skip


_COUNTED = ("tracer", "version", "chat k", "× OTel", "stream k", "× OTel", "spans/call")


def print_counts(results: Mapping[str, Results]) -> None:
    """Print a row for each tracer, in thousands of instructions."""
    table = Table(*_COUNTED, box=box.MARKDOWN)
    for name, result in results.items():
        table.add_row(name, result.version, *_costs(results, name, 1e-3), f"{result.spans_per_call:.1f}")
    Console(width=200).print(table)


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
    more = result.rss_mib - (0 if is_baseline else results[BASELINE].rss_mib)
    return [
        name,
        result.version,
        *_costs(results, name, 1e6),
        f"{Spread.of(result.starts).median * 1e3:,.0f}",
        *(_seconds(Spread.of(result.exits[state]).median) for state in STATES),
        f"{'' if is_baseline else '+'}{more:,.0f}",
        f"{result.spans_per_call:.1f}",
    ]


def _costs(results: Mapping[str, Results], name: str, scale: float) -> list[str]:
    """Return what each kind of call costs, and how often that of the reference."""
    cells: list[str] = []
    for work in WORK:
        spent = results[name].cost[work] if name == BASELINE else added(results, name, work)
        cells.append(f"{'' if name == BASELINE else '+'}{Spread.of(spent).median * scale:,.0f}")
        cells.append("" if name in (BASELINE, REFERENCE) else _spread(ratios(results, name, work)))
    return cells


def _spread(values: Sequence[float]) -> str:
    spread = Spread.of(values)
    return f"{spread.median:.2f} ({spread.low:.2f}–{spread.high:.2f})"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value != float("inf") else "> 60"
