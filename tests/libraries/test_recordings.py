"""What applications of each library sent is judged as they meant it."""

from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from libraries.expectation import mistakes, seen
from libraries.run import APPS, RECORDINGS, expectations

RUNS = [(app, scenario) for app in sorted(APPS.glob("*.py")) for scenario in expectations(app)]


@pytest.mark.parametrize(("app", "scenario"), RUNS, ids=[f"{app.stem}-{scenario}" for app, scenario in RUNS])
def test_recording(app: Path, scenario: str) -> None:
    """One run is one trace, with the question, the answer, the passages, tools and tokens that the server knows."""
    expected = expectations(app)[scenario]
    recording = RECORDINGS / f"{app.stem}__{scenario}.otlp.pb"
    assert mistakes(expected, seen(ExportTraceServiceRequest.FromString(recording.read_bytes()))) == []


def test_every_recording_has_its_application() -> None:
    """No recording is left of a scenario that is gone."""
    assert {path.name for path in RECORDINGS.glob("*")} == {f"{app.stem}__{name}.otlp.pb" for app, name in RUNS}
