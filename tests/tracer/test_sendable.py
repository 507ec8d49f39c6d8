"""What OTLP cannot carry costs neither its span nor the others of its batch."""

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace as otel
from opentelemetry.trace import StatusCode

import qualitrace

HALF = "Paris \ud83d"  # the first half of a character, as of a stream that was cut


def _nothing(_: Any) -> None:
    return None


@pytest.mark.parametrize(
    ("scope", "name", "change"),
    [
        ("app", "step", lambda span: span.set_attribute("answer", HALF)),
        ("app", "step", lambda span: span.set_attribute("answers", ["Oslo", HALF])),
        ("app", "step", lambda span: span.set_attribute(HALF, "x")),
        ("app", "step", lambda span: span.add_event(HALF, {HALF: HALF})),
        ("app", "step", lambda span: span.set_status(StatusCode.ERROR, HALF)),
        ("app", HALF, _nothing),
        (HALF, "step", _nothing),
    ],
)
def test_half_a_character(tracing: Any, scope: str, name: str, change: Callable[[Any], None]) -> None:
    """It is replaced wherever it stands, and its neighbours arrive."""
    with qualitrace.span("before"):
        pass
    with otel.get_tracer(scope).start_as_current_span(name) as span:
        change(span)
    tracing.flushed()
    assert len(tracing.received) == 2
    broken = next(one for one in tracing.received if one.name != "before")
    texts = [broken.name, broken.scope, *broken.texts]
    assert any(HALF[:-1] + "?" in text for text in texts)


@pytest.mark.parametrize(
    ("number", "text"),
    [(2**63, str(2**63)), (-(2**70), str(-(2**70))), (1 << 100_000, "<integer of 100001 bits>")],
    ids=["unsigned", "negative", "huge"],
)
def test_a_number_of_more_than_64_bits(tracing: Any, number: int, text: str) -> None:
    """It arrives as a text; one that Python itself does not write as decimals, by its size."""
    with otel.get_tracer("app").start_as_current_span("step") as span:
        span.set_attribute("seed", number)
        span.set_attribute("largest", 2**63 - 1)
    attributes = tracing.flushed()["step"].attributes
    assert (attributes["seed"], attributes["largest"]) == (text, 2**63 - 1)


def test_session_user_and_prompt(tracing: Any) -> None:
    """Odd ids are bounded and can be sent."""
    with qualitrace.session(HALF, user="x" * 1_000_000), qualitrace.prompt(HALF, version=2), qualitrace.span("step"):
        pass
    attributes = tracing.flushed()["step"].attributes
    assert (attributes["session.id"], attributes["gen_ai.prompt.name"]) == ("Paris ?", "Paris ?")
    assert len(attributes["user.id"]) < 70_000


def test_the_name_of_the_service(programs: Any, collector: Any) -> None:
    """A variable may hold any bytes."""
    done = programs.run(
        "import qualitrace; qualitrace.init(instrument=()); qualitrace.span('step').__enter__().set_inputs('x')\n"
        "with qualitrace.span('other'): pass",
        QUALITRACE_ENDPOINT=collector.endpoint,
        QUALITRACE_SERVICE_NAME="shop\udcff",
    )
    assert (done.code, done.errors) == (0, "")
    assert collector.wait(1)[0].resource["service.name"] == "shop?"
