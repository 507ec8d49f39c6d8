"""The results: a Markdown table to read, and JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from intake.measure import Cell
from intake.servers import PEERS, TARGETS

_COLUMNS = (
    "traces/request", "connections", "server", "requests", "acked/s", "× MLflow", "p50 ms", "p99 ms", "p99 / MLflow's",
    "stored/s", "CPU s/1,000", "RSS MiB", "failures",
)  # fmt: skip
PACKAGES = ("qualitrace", "mlflow", "protobuf", "uvicorn", "fastapi", "starlette", "sqlalchemy")


def as_json(about: dict[str, Any], cells: Sequence[Cell]) -> dict[str, Any]:
    """Return everything that was measured."""
    targets = {name: TARGETS[name][0] for name in dict.fromkeys(cell.target for cell in cells)}
    return about | {"targets": targets, "cells": [asdict(cell) | {"valid": cell.valid} for cell in cells]}


def print_table(cells: Sequence[Cell]) -> None:
    """Print the cells, those of the same load together, compared with the best that an MLflow server did there."""
    table = Table(*_COLUMNS, box=box.MARKDOWN)
    peers = [cell for cell in cells if cell.target in PEERS and cell.valid]
    for cell in sorted(cells, key=lambda cell: (cell.shape.traces, cell.shape.connections)):
        table.add_row(*_row(cell, [peer for peer in peers if peer.shape == cell.shape]))
    Console(width=200).print(table)


def _row(cell: Cell, peers: Sequence[Cell]) -> list[str]:
    compared = bool(peers) and cell.valid
    return [
        str(cell.shape.traces),
        str(cell.shape.connections),
        cell.target,
        str(cell.requests),
        f"{cell.acked_per_second:,.0f}",
        f"{cell.acked_per_second / max(peer.acked_per_second for peer in peers):.1f}" if compared else "",
        f"{cell.p50_ms:.1f}",
        f"{cell.p99_ms:.1f}",
        f"{cell.p99_ms / min(peer.p99_ms for peer in peers):.3f}" if compared else "",
        "" if cell.stored_per_second is None else f"{cell.stored_per_second:,.0f}",
        f"{cell.cpu_per_1000:.2f}",
        f"{cell.rss_mib:,.0f}",
        _failures(cell),
    ]


def _failures(cell: Cell) -> str:
    causes = [f"{count} × {reason}" for reason, count in cell.failures.items()]
    if cell.missing:
        causes.append(f"{cell.missing} not stored")
    return f"INVALID: {', '.join(causes) or 'nothing acked'}" if not cell.valid else ""
