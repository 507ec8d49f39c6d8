"""The demo's plot on a fake clock: when a phase is over, when it is late, what is wrong at the end."""

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from rich.console import Console

from qualitrace_monitors.demo.failure import DemoFailed
from qualitrace_monitors.demo.observe import Freshness, Quality
from qualitrace_monitors.demo.show import Show
from qualitrace_monitors.demo.story import PHASES, Account, Observation, play, shortcomings

HEALTHY, BROKEN, RECOVERED = PHASES
GOOD = Quality(rate=0.95, lower=0.8, upper=0.99, samples=20)
BAD = Quality(rate=0.4, lower=0.3, upper=0.6, samples=20)


class FakeTime:
    """A clock that only pauses move on."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def _show_nothing(phase: str, now: Observation) -> None:
    pass


def _play(phase_number: int, seen: Iterator[Observation]) -> tuple[Observation, float]:
    time = FakeTime()
    ending = play(PHASES[phase_number], lambda: next(seen), _show_nothing, time.clock, time.pause)
    return ending, time.now - 100.0


def test_healthy_needs_enough_good_answers() -> None:
    """The first phase goes on while there is no score, too few scores, or too low a rate."""
    seen = [
        Observation(),
        Observation(quality=replace(GOOD, samples=14)),
        Observation(quality=replace(GOOD, rate=0.89)),
        Observation(quality=GOOD),
    ]
    ending, seconds = _play(0, iter(seen))
    assert ending is seen[3]
    assert seconds == 1.5


def test_broken_ends_when_the_alert_reaches_the_receiver() -> None:
    """That the alert fires inside the server is not enough: the notification must have arrived."""
    seen = [Observation(alert="firing"), Observation(alert="firing", notified="firing")]
    assert _play(1, iter(seen))[0] is seen[1]


def test_recovered_needs_the_notification_and_the_rate() -> None:
    """Neither the resolved notification nor the rate alone ends the last phase."""
    seen = [
        Observation(notified="resolved", quality=BAD),
        Observation(notified="firing", quality=GOOD),
        Observation(notified="resolved", quality=GOOD),
    ]
    assert _play(2, iter(seen))[0] is seen[2]


def test_late_phase_fails_with_what_was_last_seen() -> None:
    """A phase that does not end in its time fails, naming itself, its time and the last numbers."""
    stuck = Observation(answered=7, quality=BAD, alert="pending")
    time = FakeTime()
    with pytest.raises(DemoFailed, match=r"'broken' was not over within 60 s.* 7 answers.*40%.*pending.*never"):
        play(BROKEN, lambda: stuck, _show_nothing, time.clock, time.pause)
    assert time.now == 160.0


def test_every_observation_is_shown() -> None:
    """What is looked at is shown under the phase's name, the last look too."""
    shown: list[tuple[str, Observation]] = []
    seen = [Observation(answered=1), Observation(answered=2, notified="firing")]
    looks = iter(seen)
    time = FakeTime()
    play(BROKEN, lambda: next(looks), lambda name, now: shown.append((name, now)), time.clock, time.pause)
    assert shown == [("broken", seen[0]), ("broken", seen[1])]


ACCOUNT = Account(answered=90, stored=90, in_mlflow=90, scored=90, freshness=Freshness(p50=2.0, p95=5.0))
ENDINGS = [Observation(quality=GOOD), Observation(quality=BAD), Observation(quality=GOOD)]


def test_a_good_ending_has_no_shortcomings() -> None:
    """Equal counts, a fall and a rise, and a freshness just at its limit are all that is asked."""
    assert shortcomings(ACCOUNT, ENDINGS) == []


@pytest.mark.parametrize(
    ("account", "endings", "words"),
    [
        (replace(ACCOUNT, stored=89), ENDINGS, "90 questions were answered.* 89 traces were stored"),
        (replace(ACCOUNT, scored=88), ENDINGS, "88 scored"),
        (replace(ACCOUNT, in_mlflow=91), ENDINGS, "MLflow has 91"),
        (replace(ACCOUNT, freshness=Freshness(p50=2.0, p95=5.1)), ENDINGS, "p95 5.1 s.*at most 5 s"),
        (replace(ACCOUNT, freshness=None), ENDINGS, "freshness is None"),
        (ACCOUNT, [ENDINGS[0]] * 3, "95%, then 95%, then 95%"),
        (ACCOUNT, [ENDINGS[0], ENDINGS[1], ENDINGS[1]], "95%, then 40%, then 40%"),
        (ACCOUNT, [Observation(), *ENDINGS[1:]], "0%, then 40%, then 95%"),
    ],
)
def test_shortcomings_are_named(account: Account, endings: Sequence[Observation], words: str) -> None:
    """A lost, doubled or unscored trace, stale scores, or quality that did not move is one shortcoming with its numbers."""
    [wrong] = shortcomings(account, endings)
    assert re.search(words, wrong)


def _shown(terminal: bool, observations: Sequence[Observation]) -> str:
    time = FakeTime()
    output = io.StringIO()
    with Show(Console(file=output, force_terminal=terminal, width=100), time.clock) as show:
        for now in observations:
            show.update("healthy", now)
            time.pause(1.0)
        show.say("the end [not markup]")
    return output.getvalue()


def test_without_a_terminal_there_is_a_plain_line_every_three_seconds() -> None:
    """Four looks a second apart make two lines with all numbers, and no control characters."""
    looks = [Observation(answered=count, quality=GOOD, freshness=Freshness(1.0, 2.0)) for count in range(4)]
    first, second, last = _shown(False, looks).splitlines()
    assert first == (
        "  0.0 s  phase healthy, answers 0, groundedness 95% [80%, 99%] of 20, alert inactive, "
        "freshness p50 1.0 s, p95 2.0 s"
    )
    assert second.startswith("  3.0 s  phase healthy, answers 3")
    assert last == "  4.0 s  the end [not markup]"


def test_on_a_terminal_there_is_a_panel() -> None:
    """A terminal shows each look in a panel, also what is not known yet."""
    text = _shown(True, [Observation(answered=5)])
    assert "qualitrace demo" in text
    assert "not known yet" in text
