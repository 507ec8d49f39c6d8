"""How the last reload of the configuration went, read at each scrape."""

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from qualitrace_monitors.metrics import families
from qualitrace_monitors.reload.channel import Reloader


@dataclass(eq=False, slots=True)
class ReloadCollector(Collector):
    """Exposes what a reloader knows; nothing where there is none."""

    reloader: Reloader | None

    def collect(self) -> Iterable[Metric]:
        """Yield both families."""
        states = [self.reloader.state] if self.reloader else []
        yield families.CONFIG_RELOAD_SUCCESSFUL.read(((), state.successful) for state in states)
        yield families.CONFIG_RELOAD_TIMESTAMP.read(((), state.succeeded_at) for state in states)
