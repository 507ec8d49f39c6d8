"""Of several tiers of a judge that scored a service, the most trusted one."""

from collections.abc import Iterable

from qualitrace_monitors.alerts.rule_watch import TIERS
from qualitrace_monitors.estimate.estimator import Estimate

Key = tuple[str, str]
"""Service and judge."""


def most_trusted(estimates: Iterable[Estimate]) -> dict[Key, Estimate]:
    """Return one estimate of each service and judge."""
    found: dict[Key, Estimate] = {}
    for estimate in sorted(estimates, key=lambda each: TIERS.index(each.tier)):
        found[estimate.service, estimate.judge] = estimate
    return found
