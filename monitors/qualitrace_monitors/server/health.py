"""How each component is, for `/readyz` and `qualitrace_up`."""

import os
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from qualitrace_monitors.component_names import OTLP

Check = Callable[[], str]
"""Returns what is wrong, in words without names, addresses and contents; empty if nothing is. It waits for nothing."""


class Health:
    """The components, each with its checks; thread-safe.

    Attributes:
        stopping: whether the process is about to end.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.stopping = False
        self._clock = clock
        self._since: dict[str, float] = {}
        self._checks: defaultdict[str, list[tuple[Check, Callable[[], float]]]] = defaultdict(list)

    def add(self, component: str, check: Check, lasted: Callable[[], float] = lambda: 0.0) -> None:
        """Let `check` say, too, how the component is; call it before the first look.

        Args:
            lasted: returns for how many seconds the problem that `check` returns now has lasted.
        """
        self._checks[component].append((check, lasted))

    def problems(self) -> dict[str, str]:
        """Return what is wrong with each component; empty where nothing is."""
        looks = {name: self._look(name) for name in self._checks}
        if self.stopping and OTLP in looks:
            looks[OTLP] = "it is stopping", 0.0
        now = self._clock()
        self._since = {name: self._since.get(name, now - lasted) for name, (text, lasted) in looks.items() if text}
        return {name: text for name, (text, _) in looks.items()}

    def _look(self, component: str) -> tuple[str, float]:
        """Return what is wrong with a component, empty if nothing is, and for how long it has been."""
        for check, lasted in self._checks[component]:
            if text := check():
                return text, lasted()
        return "", 0.0

    def since(self, component: str) -> float | None:
        """Return since when something is wrong with a component, Unix seconds; None if nothing is."""
        return self._since.get(component)

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the server can take OTLP, and the body of `/readyz`."""
        found = [{"component": name, "reason": problem} for name, problem in self.problems().items() if problem]
        unavailable = [each for each in found if each["component"] == OTLP]
        report = {
            "service": "qualitrace",
            "status": "unavailable" if unavailable else "ready",
            "unavailable": unavailable,
            "degraded": [each for each in found if each["component"] != OTLP],
            "pid": os.getpid(),
        }
        return not unavailable, report
