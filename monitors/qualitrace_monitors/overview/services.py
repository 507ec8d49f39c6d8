"""The services with their judges, worst first: quality now against before, and what the service does."""

from collections.abc import Sequence
from dataclasses import dataclass

from qualitrace_collector.state.requests import Requests, duration_percentile
from qualitrace_collector.state.schema import DURATIONS
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import STATES, AlertState
from qualitrace_monitors.estimate.estimator import JOINED, Estimate
from qualitrace_monitors.overview.alerts import ActiveAlert
from qualitrace_monitors.overview.day_before import NOW_SECONDS
from qualitrace_monitors.overview.inputs import Inputs
from qualitrace_monitors.overview.trusted import most_trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a service did in the last hour, all requests counted, judged or not.

    Attributes:
        p95_seconds: that 95 % of the requests took at most, to within a fifth; None where no request says.
        usd: what its models cost, as far as prices are known.
    """

    requests: int = 0
    errors: int = 0
    tokens: float = 0.0
    usd: float = 0.0
    p95_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeState:
    """What a judge says of a service.

    Attributes:
        state: of the alerts on it.
        threshold: below which pass rate a rule fires; None without one.
        now, before: the last hour, and the day before it, by the most trusted tier that scored; None without scores.
        scored: the longer one of them; where that rests on both judges of a cascade, that of the model alone.
    """

    judge: str
    state: AlertState
    threshold: float | None
    now: Estimate | None
    before: Estimate | None
    scored: Estimate | None

    @property
    def tier(self) -> str:
        """Whose scores it rests on."""
        estimate = self.now or self.before
        return estimate.tier if estimate else ""

    @property
    def badness(self) -> tuple[int, float]:
        """What sorts the worst first: alerts; then how far even the interval's upper end is below where it should be.

        That is the rule's threshold, or else the rate before.
        """
        should = self.threshold
        if should is None and self.before is not None:
            should = self.before.pass_rate
        margin = 1.0 if self.now is None or should is None else self.now.pass_rate_upper - should
        return STATES.index(self.state), margin


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """A service; its judges are in order, the worst first."""

    name: str
    state: AlertState
    traffic: Traffic
    judges: tuple[JudgeState, ...]

    @property
    def badness(self) -> tuple[int, int, float, str]:
        """What sorts the worst first."""
        worst = self.judges[0].badness if self.judges else (len(STATES), 1.0)
        return STATES.index(self.state), *worst, self.name


def service_states(
    inputs: Inputs, now: float, active: Sequence[ActiveAlert], containing: str = ""
) -> list[ServiceState]:
    """Return the services that had requests or scores within a day, the worst first.

    Args:
        now: Unix seconds.
        active: the alerts that fire or are pending.
        containing: of the services' names, without regard to case; empty for all.
    """
    traffic = _traffic(inputs, now)
    estimates = inputs.estimator.estimates(now, NOW_SECONDS)
    estimates_before = inputs.day_before.estimates(now)
    latest, before = most_trusted(estimates), most_trusted(estimates_before)
    scored = most_trusted(each for each in (*estimates, *estimates_before) if each.tier != JOINED)
    known = {alert.service for alert in active if alert.path}
    names = {*traffic, *known, *(service for service, _ in (*latest, *before))}
    wanted = containing.casefold()
    states = _States(inputs.alerts.rules, active)
    judges: dict[str, list[JudgeState]] = {name: [] for name in names if wanted in name.casefold()}
    for service, judge in sorted({*latest, *before}):
        if service in judges:
            key = service, judge
            state = JudgeState(
                judge=judge,
                state=states.of(service, judge),
                threshold=states.threshold(service, judge),
                now=latest.get(key),
                before=before.get(key),
                scored=scored.get(key),
            )
            judges[service].append(state)
    services = [
        ServiceState(
            name=name,
            state=states.of(name),
            traffic=traffic.get(name, Traffic()),
            judges=tuple(sorted(found, key=lambda judge: judge.badness)),
        )
        for name, found in judges.items()
    ]
    return sorted(services, key=lambda service: service.badness)


class _States:
    """What alerts and rules say of services and judges."""

    def __init__(self, rules: Sequence[AlertRule], active: Sequence[ActiveAlert]) -> None:
        self._rules = [rule for rule in rules if _is_threshold(rule)]
        self._worst: dict[tuple[str, str | None], AlertState] = {}
        for alert in active:
            for key in ((alert.service, None), (alert.service, alert.judge)):
                if STATES.index(alert.state) < STATES.index(self._worst.get(key, "inactive")):
                    self._worst[key] = alert.state

    def of(self, service: str, judge: str | None = None) -> AlertState:
        """Return the state of the most urgent alert."""
        return self._worst.get((service, judge), "inactive")

    def threshold(self, service: str, judge: str) -> float | None:
        """Return the highest pass rate below which a rule fires."""
        found = (rule.when.threshold for rule in self._rules if rule.judge == judge and rule.covers(service))
        return max(found, default=None)


def _is_threshold(rule: AlertRule) -> bool:
    when = rule.when
    return when.kind == "scores" and when.quantity == "pass_rate" and when.operator == "<" and not when.reference


def _traffic(inputs: Inputs, now: float) -> dict[str, Traffic]:
    return {
        row["service"]: Traffic(
            requests=row["requests"],
            errors=row["errors"],
            tokens=row["tokens"],
            usd=row["usd"],
            p95_seconds=duration_percentile([row[name] for name in DURATIONS], 0.95),
        )
        for row in Requests.sums(inputs.database.connection(), now - NOW_SECONDS, now)
    }
