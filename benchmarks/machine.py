"""The machine on which something was measured, and the versions."""

import os
import platform
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil


def environment(command: Sequence[str], folder: Path, packages: Sequence[str]) -> dict[str, Any]:
    """Describe what a run depends on.

    Args:
        command: the words of the command line.
        folder: where what is measured keeps its files.
        packages: distributions whose versions matter.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(command),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / (1 << 30)),
        "disk": _file_system(folder),
        "load_average": os.getloadavg()[0],
        "system": platform.platform(),
        "versions": {name: version(name) for name in packages}
        | {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version},
    }


def _cpu_model() -> str:
    """Return the processor's name; on Linux Python's `platform` does not know it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _file_system(folder: Path) -> str:
    mounts = [item for item in psutil.disk_partitions(all=True) if folder.resolve().is_relative_to(item.mountpoint)]
    return max(mounts, key=lambda item: len(item.mountpoint)).fstype
