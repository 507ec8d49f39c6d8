"""How each component is, for `/readyz` and `qualitrace_up`."""

import os
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

OTLP = "otlp"
"""The component without which senders must go elsewhere. What the others cannot do now is done later."""

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
        self._checks: defaultdict[str, list[Check]] = defaultdict(list)

    def add(self, component: str, check: Check) -> None:
        """Let `check` say, too, how the component is; call it before the first look."""
        self._checks[component].append(check)

    def problems(self) -> dict[str, str]:
        """Return what is wrong with each component; empty where nothing is."""
        found = {name: next(filter(None, (check() for check in checks)), "") for name, checks in self._checks.items()}
        if self.stopping and OTLP in found:
            found[OTLP] = "it is stopping"
        now = self._clock()
        self._since = {name: self._since.get(name, now) for name, problem in found.items() if problem}
        return found

    def since(self, component: str) -> float | None:
        """Return when `problems` first found what is wrong with a component, Unix seconds; None if nothing is."""
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
