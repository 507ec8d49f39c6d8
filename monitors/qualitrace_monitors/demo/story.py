"""The demo's plot: what happens in which phase, when a phase is over, and what must be true at the end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qualitrace_monitors.demo.failure import DemoFailed
from qualitrace_monitors.demo.observe import Freshness, Quality

HEALTHY_RATE = 0.9
ENOUGH_SAMPLES = 15
FRESHNESS_LIMIT_SECONDS = 5.0
LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is known at one moment.

    Attributes:
        answered: questions that the assistant has answered.
        quality: the groundedness pass rate, once there is one.
        alert: the rule's state on /metrics: inactive, pending or firing.
        notified: what the receiver last heard of the alert: firing, resolved, or nothing yet.
        freshness: over all scores so far.
    """

    answered: int = 0
    quality: Quality | None = None
    alert: str = "inactive"
    notified: str = ""
    freshness: Freshness | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether enough answers were scored and nearly all of them are grounded."""
        quality = self.quality
        return quality is not None and quality.samples >= ENOUGH_SAMPLES and quality.rate >= HEALTHY_RATE


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the plot: `reached` says when it is over, and `seconds` by when it must be."""

    name: str
    text: str
    broken: bool
    seconds: float
    reached: Callable[[Observation], bool]


PHASES = (
    Phase("healthy", "retrieval works: answers rest on the handbook", False, 45, lambda now: now.is_healthy),
    Phase(
        "broken",
        "the index is stale: the model gets the wrong passages and makes answers up",
        True,
        60,
        lambda now: now.notified == "firing",
    ),
    Phase(
        "recovered",
        "the index is mended: groundedness comes back",
        False,
        60,
        lambda now: now.notified == "resolved" and now.is_healthy,
    ),
)


def play(
    phase: Phase,
    look: Callable[[], Observation],
    show: Callable[[str, Observation], None],
    clock: Callable[[], float],
    pause: Callable[[float], None],
) -> Observation:
    """Look on until the phase is over, and return what was seen then.

    Args:
        look: observes; called every half second.
        show: is given each observation with the phase's name.
        clock: seconds, monotonic.
        pause: waits that many seconds.

    Raises:
        DemoFailed: the phase was not over in time.
    """
    deadline = clock() + phase.seconds
    while True:
        now = look()
        show(phase.name, now)
        if phase.reached(now):
            return now
        if clock() >= deadline:
            raise DemoFailed(
                f"phase {phase.name!r} was not over within {phase.seconds:g} s. Last seen: {now.answered} answers, "
                f"groundedness {now.quality}, alert {now.alert}, notified {now.notified or 'never'}."
            )
        pause(LOOK_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The end of the story in numbers: questions answered, traces by the ledger, by MLflow, and with a score."""

    answered: int
    stored: int
    in_mlflow: int
    scored: int
    freshness: Freshness | None

    @property
    def is_complete(self) -> bool:
        """Whether each answer is one trace, stored and scored."""
        return self.answered == self.stored == self.in_mlflow == self.scored


def shortcomings(account: Account, endings: Sequence[Observation]) -> list[str]:
    """List what is wrong at the end; `endings` are the last observations of the three phases."""
    wrong: list[str] = []
    if not account.is_complete:
        wrong.append(
            f"{account.answered} questions were answered, but the ledger says {account.stored} traces were stored "
            f"and {account.scored} scored, and MLflow has {account.in_mlflow}"
        )
    healthy, broken, recovered = (ending.quality.rate if ending.quality else 0.0 for ending in endings)
    if not healthy > broken < recovered:
        wrong.append(f"groundedness did not fall and rise: {healthy:.0%}, then {broken:.0%}, then {recovered:.0%}")
    if account.freshness is None or account.freshness.p95 > FRESHNESS_LIMIT_SECONDS:
        wrong.append(f"freshness is {account.freshness}; p95 must be at most {FRESHNESS_LIMIT_SECONDS:g} s")
    return wrong
