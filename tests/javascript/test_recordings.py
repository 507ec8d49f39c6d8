"""What JavaScript applications sent is judged as they meant it."""

from pathlib import Path

import pytest

from javascript.run import APPS, RECORDINGS, Sent, expectations
from libraries.expectation import mistakes, seen

RUNS = [(app, scenario) for app in APPS for scenario in expectations(app)]


@pytest.mark.parametrize(("app", "scenario"), RUNS, ids=[f"{app.name}-{scenario}" for app, scenario in RUNS])
def test_recording(app: Path, scenario: str) -> None:
    """One run is one trace, with the question, the answer, the passages, tools and tokens that the server knows."""
    expected = expectations(app)[scenario]
    sent = Sent.recorded(app.name, scenario)
    assert mistakes(expected, seen(sent.traces, sent.logs)) == []


def test_every_recording_has_its_application() -> None:
    """No recording is left of a scenario that is gone."""
    recorded = {path.name.removesuffix(".otlp.pb").removesuffix(".logs.pb") for path in RECORDINGS.iterdir()}
    assert recorded == {f"{app.name}__{name}" for app, name in RUNS}
