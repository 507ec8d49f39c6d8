"""The kinds of rules: what each reads, its evidence, and its words. `kind.py` says what a kind is.

To add a kind, write a subclass of `Kind`, add it to `KINDS`, and give its quantities to it in `quantities.py`.
"""

from collections.abc import Sequence

from qualitrace_monitors.alerts.kinds.burn_rates import BurnRates
from qualitrace_monitors.alerts.kinds.kind import Kind, Sources
from qualitrace_monitors.alerts.kinds.own_health import OwnHealth
from qualitrace_monitors.alerts.kinds.request_means import RequestMeans
from qualitrace_monitors.alerts.kinds.score_means import ScoreMeans
from qualitrace_monitors.alerts.kinds.silence import Silence
from qualitrace_monitors.alerts.kinds.spend import Spend
from qualitrace_monitors.alerts.settings import AlertRule

KINDS: tuple[type[Kind], ...] = (ScoreMeans, RequestMeans, Spend, Silence, OwnHealth, BurnRates)
"""Every kind of rule."""


def kinds_of(rules: Sequence[AlertRule], sources: Sources) -> list[Kind]:
    """Return the kinds that have something to do, each with its own rules."""
    made = ((kind, [rule for rule in rules if rule.when.kind in kind.names]) for kind in KINDS)
    return [kind(own, sources) for kind, own in made if own or kind.takes_always]
