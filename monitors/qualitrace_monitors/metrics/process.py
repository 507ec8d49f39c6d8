"""What the process `work` is and uses: its version, memory, processor time and file descriptors."""

import platform
from importlib.metadata import version

from prometheus_client import CollectorRegistry, ProcessCollector

from qualitrace_monitors.metrics import families


def expose_process(registry: CollectorRegistry) -> None:
    """Export `qualitrace_build_info`, and on Linux Prometheus' usual `process_*`, of this process."""
    families.BUILD_INFO.gauge(registry).labels(version("qualitrace"), platform.python_version()).set(1)
    ProcessCollector(registry=registry)
