"""A judgement that the process dies of is tried alone and fails in the end; kills at random fail nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from qualitrace_collector.mlflow_store.store import StoreUnavailable
from qualitrace_collector.process.in_work import InWork
from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.contract import Score
from qualitrace_monitors.judging import worker
from qualitrace_monitors.judging.judgement import Judgement
from support.judging import Monitor, verdict


class Killed(BaseException):
    """The process is gone."""


def live(monitor: Monitor) -> int:
    """Judge all, and start again after each death; return how often it died."""
    for deaths in range(20):
        try:
            monitor.worker.drain(monitor.now + 1)
        except Killed:
            monitor.restart()
        else:
            return deaths
    raise AssertionError("it dies for ever")


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> Callable[[Monitor], None]:
    """Let a monitor's judge kill the process when it sees a text."""

    def arm(monitor: Monitor) -> None:
        def score(sample: Sample) -> Score:
            if sample.outputs == "deadly":
                raise Killed
            return verdict()

        monkeypatch.setattr(monitor.judge, "score", score)

    return arm


def test_a_judgement_that_kills_is_a_failed_one(make: Callable[..., Monitor], deadly: Callable[[Monitor], None]):
    """After a death among others and three alone; the others, before and behind it, are scored once."""
    monitor = make()
    deadly(monitor)
    for number in range(1, 8):
        monitor.put(number, answer="deadly" if number == 3 else None)
    assert live(monitor) == 4
    assert monitor.outcomes() == {"failed": 1, "scored": 6}
    assert len(monitor.scores()) == 6


def test_kills_at_random_fail_no_judgement(make: Callable[..., Monitor], monkeypatch: pytest.MonkeyPatch):
    """Five processes die between the judges' answers and their record, two of them with the same one alone."""
    monitor = make()
    for number in range(1, 6):
        monitor.put(number)
    write, written_before_death = worker.write, [0, 1, 0, 1, 2]

    def killed(*args: Any) -> list[Judgement]:
        if not written_before_death[0]:
            del written_before_death[0]
            raise Killed
        written_before_death[0] -= 1
        return write(*args)

    monkeypatch.setattr(worker, "write", killed)
    while written_before_death:
        with pytest.raises(Killed):
            monitor.worker.drain(monitor.now + 1)
        monitor.restart()
    monkeypatch.undo()
    monitor.worker.drain(monitor.now + 1)
    assert monitor.outcomes() == {"scored": 5}


def test_kills_while_mlflow_is_away_fail_no_judgement(make: Callable[..., Monitor], monkeypatch: pytest.MonkeyPatch):
    """What is postponed is not in work."""
    monitor = make()
    monitor.put(1)

    def away(*_: object) -> None:
        raise StoreUnavailable("down")

    monkeypatch.setattr(monitor.store, "save_assessments", away)
    for _ in range(8):
        monitor.worker.step()
        monitor.restart()
    monkeypatch.undo()
    monitor.worker.drain(monitor.now + 1)
    assert monitor.outcomes() == {"scored": 1}


def test_judging_waits_until_the_pipeline_is_acquitted(make: Callable[..., Monitor]):
    """So that what is tried again is alone in the process."""
    monitor = make()
    monitor.put(1)
    note = monitor.database.path.with_name("collect.in-work")
    InWork(note).begin(["1"])
    pipeline = InWork(note)
    monitor.worker._earlier = [pipeline]
    monitor.worker.drain(monitor.now + 1)
    assert monitor.outcomes() == {"queued": 1}
    pipeline.end(pipeline.try_suspects())
    monitor.worker.drain(monitor.now + 1)
    assert monitor.outcomes() == {"scored": 1}
