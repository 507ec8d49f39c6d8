"""The console: each trace as a tree on stderr, besides sending it or instead."""

import re
import sys
from typing import Any

import pytest

from qualitrace.console import MAX_TRACES, Console
from qualitrace.reading import MAX_LINES, RecordedSpan, tree

APP = """
import qualitrace

qualitrace.init(service_name="shop", instrument=())

with qualitrace.span("answer") as answer:
    answer.set_inputs("Do you ship to France?  password=hunter22")
    with qualitrace.span("search", kind="retriever") as search:
        search.set_outputs(["We ship to France."])
    try:
        with qualitrace.span("charge", kind="tool"):
            raise ValueError("no card")
    except ValueError:
        pass
    answer.set_outputs("Yes.\\x1b[31m")
print(qualitrace.flush(), qualitrace.status().sent)
"""


def span(number: int, parent: int | None = None, *, trace: int = 1, name: str = "step") -> RecordedSpan:
    return RecordedSpan(
        name=name,
        kind=None,
        inputs=None,
        outputs=None,
        error=None,
        attributes={},
        session=None,
        user=None,
        tokens=None,
        scope="",
        service="shop",
        trace_id=f"{trace:032x}",
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        is_local_root=parent is None,
        start=number,
        seconds=0.5,
    )


@pytest.mark.parametrize(
    ("variables", "received"),
    [
        ({"QUALITRACE_CONSOLE": "true"}, 3),
        ({"QUALITRACE_CONSOLE": "only"}, 0),
        ({"OTEL_TRACES_EXPORTER": "console"}, 0),
        ({"OTEL_TRACES_EXPORTER": "console,otlp"}, 3),
    ],
)
def test_an_app_prints_its_traces(programs: Any, collector: Any, variables: dict[str, str], received: int) -> None:
    """One tree, redacted, on clean lines; sent too unless the console is the only place."""
    done = programs.run(APP, QUALITRACE_ENDPOINT=collector.endpoint, **variables)
    assert done.output == "True 3\n"
    lines = done.errors.rstrip("\n").split("\n")
    assert re.fullmatch(r"trace [0-9a-f]{32} \(shop\)", lines[0])
    assert re.fullmatch(r"answer \d+ ms: Do you ship to France\? password=\[secret\] → Yes\. \[31m", lines[1])
    assert re.fullmatch(r"├─ search \[retriever\] \d+ ms: .*We ship.*", lines[2])
    assert re.fullmatch(r"└─ charge \[tool\] \d+ ms ERROR ValueError: no card", lines[3])
    assert len(lines) == 4
    assert "\x1b" not in done.errors
    assert len(collector.received) == received


def test_feedback_stays_here(programs: Any, collector: Any) -> None:
    """Where nothing is sent, feedback is not either, and one line says so."""
    code = """
import qualitrace
qualitrace.init(console="only", instrument=())
for number in range(3):
    qualitrace.feedback("0123456789abcdef0123456789abcdef", "thumb", True)
"""
    done = programs.run(code, QUALITRACE_ENDPOINT=collector.endpoint)
    assert done.errors == "feedback is not sent: console=only\n"
    assert not collector.paths


def test_a_large_trace_is_cut() -> None:
    """A hundred lines are shown, and how many spans are not."""
    spans = [span(1), *(span(number, 1) for number in range(2, MAX_LINES + 12))]
    lines = tree(spans).splitlines()
    assert (len(lines), lines[-1]) == (MAX_LINES + 1, "… 11 more spans")


def test_odd_parents_end() -> None:
    """A parent elsewhere, and a circle of parents, neither raise nor run for ever."""
    assert tree([span(1, 9), span(2, 1)]).splitlines() == ["step 500 ms", "└─ step 500 ms"]
    assert tree([span(1, 2), span(2, 1)]) == "\n… 2 more spans"


def test_what_waits_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    """Traces whose root does not end are printed when too many wait, or at the end; none is printed twice."""
    console = Console()
    for number in range(1, MAX_TRACES + 2):
        console.take([span(2, 1, trace=number)])
    assert capsys.readouterr().err.count("trace ") == 1
    console.close()
    console.close()
    assert capsys.readouterr().err.count("trace ") == MAX_TRACES


def test_stderr_that_is_closed_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a daemon that has none."""
    monkeypatch.setattr(sys, "stderr", None)
    console = Console()
    console.take([span(1)])
    assert not console._waiting
