"""What the processes are and use: version, memory, processor time and file descriptors."""

import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.registry import Collector

from qualitrace_collector.process.startup import PARENT_VARIABLE
from qualitrace_monitors.metrics import families

RECEIVE_MODULE = b"qualitrace_collector.receive"
"""Tells `receive` from the supervisor's other children by its command."""

_MEMORY, _CPU, _FILES = "process_resident_memory_bytes", "process_cpu_seconds", "process_open_fds"


def expose_process(registry: CollectorRegistry) -> None:
    """Export `qualitrace_build_info`, and on Linux what this process uses (`process_*`), and what each of all does."""
    families.BUILD_INFO.gauge(registry).labels(version("qualitrace"), platform.python_version()).set(1)
    ProcessCollector(registry=registry)
    registry.register(AllProcesses())


class AllProcesses(Collector):
    """Exposes what the supervisor, `receive` and this process use, read at scrape time; nothing without /proc."""

    def collect(self) -> Iterable[Metric]:
        """Yield every metric family, also those without a sample."""
        used = {name: _used(pid) for name, pid in _pids().items()}
        yield families.PROCESS_MEMORY.read(((name,), size) for name, size in memory_used().items())
        yield families.PROCESS_CPU.read(((name,), each[_CPU]) for name, each in used.items() if _CPU in each)
        yield families.PROCESS_FILES.read(((name,), each[_FILES]) for name, each in used.items() if _FILES in each)


def memory_used() -> dict[str, float]:
    """Return the resident memory in bytes of each process with its children, by name; empty without /proc."""
    pids = _pids()
    memory = {name: _used(pid).get(_MEMORY, 0.0) for name, pid in pids.items()}
    for name, pid in pids.items():
        if name != "supervisor":  # its children are those of the other names
            memory[name] += sum(_used(child).get(_MEMORY, 0.0) for child in _children(pid))
    return {name: size for name, size in memory.items() if size}


def _pids() -> dict[str, int]:
    """Return the ids of the processes that run now, by name."""
    found, parent = {"work": os.getpid()}, os.getppid()
    if os.environ.get(PARENT_VARIABLE) == str(parent):  # else nobody supervises this process
        found["supervisor"] = parent
        found |= [("receive", child) for child in _children(parent) if RECEIVE_MODULE in _command(child)]
    return found


def _used(pid: int) -> dict[str, float]:
    """Return what Prometheus' client reads of a process, by metric; nothing of one that has ended."""
    metrics = ProcessCollector(pid=lambda: pid, registry=None).collect()
    return {metric.name: metric.samples[0].value for metric in metrics}


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += map(int, (thread / "children").read_text().split())
    return found


def _command(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
