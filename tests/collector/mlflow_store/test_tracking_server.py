"""What answers in place of a tracking server is not believed: nothing counts as stored, and no trace is given up."""

import json
from collections.abc import Callable, Iterator

import pytest
from mlflow.entities import AssessmentSource, Feedback
from mlflow.exceptions import MlflowException

from qualitrace_collector.convert import ConvertedTrace
from qualitrace_collector.mlflow_store import tracking_server
from qualitrace_collector.mlflow_store.experiments import ExperimentPlace
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore
from support.mlflow_db import converted
from support.otlp import REMOTE_PARENT, chat_span
from support.pipeline import rag
from support.rough_proxy import ANSWERS, ENDLESS, JSON, PAGE, RoughProxy, rough_proxy

PROTOBUF = "application/x-protobuf"


@pytest.fixture(scope="module")
def proxy() -> Iterator[RoughProxy]:
    with rough_proxy() as made:
        yield made


@pytest.fixture
def store(proxy: RoughProxy) -> TraceStore:
    """A store that knows the experiment of the traces."""
    made = TraceStore(proxy.url, "", "{service.name}")
    made.experiments._places["shop", "default"] = ExperimentPlace("1", "")
    return made


def trace(number: int = 1) -> ConvertedTrace:
    return converted(rag(number), "shop")


def child() -> ConvertedTrace:
    """Build a trace that began in another service, whose state MLflow needs to be sent."""
    return converted([chat_span(2, 3, 2, question="Q?", answer="A.", flags=REMOTE_PARENT)], "shop")


def feedback() -> Feedback:
    item = Feedback(name="relevance", value=0.5, source=AssessmentSource("CODE", "x"), trace_id=trace().trace_id)
    item.assessment_id = "qt-1"
    return item


def answered(refused: dict[str, Exception]) -> None:
    """Raise what was not answered."""
    for error in refused.values():
        raise error


CALLS: dict[str, Callable[[TraceStore], object]] = {
    "spans": lambda store: answered(store.save([trace()])),
    "experiment": lambda store: TraceStore(store.tracking_uri, "", "new").save([trace()]),
    "headline": lambda store: store.show([list(child().stored)], late=False),
    "assessment": lambda store: answered(store.save_assessments([feedback()])),
    "read": lambda store: store.read(trace().trace_id),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("answer", [*ANSWERS, "reset"])
def test_an_answer_that_is_not_mlflows_is_no_answer(proxy: RoughProxy, store: TraceStore, call: str, answer: str):
    """Whatever is asked: it is asked again later."""
    proxy.faults = (answer,)
    with pytest.raises(StoreUnavailable):
        CALLS[call](store)


@pytest.mark.parametrize("answer", ENDLESS)
def test_an_answer_without_an_end_is_cut_off(
    proxy: RoughProxy, store: TraceStore, monkeypatch: pytest.MonkeyPatch, answer: str
):
    """By its time, or by its size, well before the memory is full."""
    monkeypatch.setattr(tracking_server, "MAX_ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(tracking_server, "MAX_ANSWER_BYTES", 1 << 20)
    proxy.faults = (answer,)
    with pytest.raises(StoreUnavailable, match=r"the answer (has|takes) more than"):
        answered(store.save([trace()]))


@pytest.mark.parametrize("answer", [name for name in ANSWERS if name != "200 empty object"])
def test_a_proxy_is_no_server_that_is_ready(proxy: RoughProxy, store: TraceStore, answer: str):
    """`/readyz` reports it. A server without experiments answers with an empty object."""
    proxy.faults = (answer,)
    with pytest.raises(StoreUnavailable):
        store.check()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("200 html", r"POST /v1/traces was answered with 200 \(text/html; charset=utf-8\): .* is a proxy on the way"),
        ("302 to a login page", r"answered with 200 \(text/html.* after a redirect to 127.0.0.1: .* proxy on the way"),
        ("401", r"answered with 401 .*: check mlflow.token, or the user and password in mlflow.tracking_uri"),
        ("403", r"answered with 403 .*: check the rights of mlflow.token"),
        ("407", r"answered with 407 .*: a proxy on the way wants credentials"),
    ],
)
def test_the_log_names_what_answered(proxy: RoughProxy, store: TraceStore, answer: str, said: str):
    """What to check, in one line; nothing of a login page's address or content."""
    proxy.faults = (answer,)
    with pytest.raises(StoreUnavailable, match=said) as raised:
        store.save([trace()])
    assert "secret" not in str(raised.value)
    assert "Sign in" not in str(raised.value)


@pytest.fixture
def answers(proxy: RoughProxy, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the proxy give these answers in turn, as MLflow would."""

    def give(*given: tuple[int, str, bytes]) -> None:
        left = iter(range(len(given)))
        monkeypatch.setattr("support.rough_proxy.ANSWERS", {str(number): item for number, item in enumerate(given)})
        monkeypatch.setattr(proxy, "pick", lambda _: str(next(left)))

    return give


def refusal(code: str) -> bytes:
    return json.dumps({"error_code": code, "message": "no"}).encode()


NO_TRACE = (404, JSON, refusal("RESOURCE_DOES_NOT_EXIST"))
WELL = (200, JSON, b"{}")


@pytest.mark.parametrize("kind", [PROTOBUF, f"{PROTOBUF}; charset=utf-8", "Application/X-Protobuf"])
def test_an_empty_protobuf_is_success(store: TraceStore, answers: Callable[..., None], kind: str):
    """That is what MLflow answers to spans."""
    answers((200, kind, b""))
    assert store.save([trace()]) == {}


@pytest.mark.parametrize(
    "answer",
    [
        (422, JSON, b'{"detail": "Failed to log OpenTelemetry spans"}'),
        (400, JSON, refusal("BAD_REQUEST")),
        (400, JSON, refusal("INVALID_PARAMETER_VALUE")),
        (413, PAGE, b"too large"),
    ],
)
def test_what_mlflow_refuses_is_halved(store: TraceStore, answers: Callable[..., None], answer: tuple[int, str, bytes]):
    """One bad trace does not keep the other one out; a proxy's limit for a request's size counts as such, too."""
    stored = (200, PROTOBUF, b"")
    answers(answer, WELL, stored, answer, WELL, NO_TRACE, WELL)
    assert list(store.save([trace(1), trace(2)])) == [trace(2).trace_id]


def test_rejected_spans_are_refused(store: TraceStore, answers: Callable[..., None]):
    """OTLP's partial success is not a success."""
    partial = b"\x0a\x02\x08\x01"  # partial_success {rejected_spans: 1}
    answers((200, PROTOBUF, partial), WELL, NO_TRACE, WELL)
    assert list(store.save([trace()])) == [trace().trace_id]


def test_a_refusal_that_cannot_be_checked_is_none(store: TraceStore, answers: Callable[..., None]):
    """A server that is not well refuses what is right."""
    answers((422, JSON, b'{"detail": "Failed to log OpenTelemetry spans"}'), (200, PAGE, b"<html>"))
    with pytest.raises(StoreUnavailable):
        store.save([trace()])


def test_an_assessment_that_cannot_be_looked_up_is_not_refused(store: TraceStore, answers: Callable[..., None]):
    """MLflow refuses one that it has with an internal error; in doubt it is written again."""
    answers((400, JSON, refusal("INTERNAL_ERROR")), WELL, (200, PAGE, b"<html>"))
    with pytest.raises(StoreUnavailable):
        store.save_assessments([feedback()])
    answers((400, JSON, refusal("INTERNAL_ERROR")), WELL, NO_TRACE, WELL)
    (error,) = store.save_assessments([feedback()]).values()
    assert isinstance(error, MlflowException)


def test_no_trace_is_unknown_on_the_word_of_an_empty_object(store: TraceStore, answers: Callable[..., None]):
    """Spans that are stored would be stored again: MLflow says by itself that it has no such trace."""
    answers(WELL, NO_TRACE)
    assert store.read(trace().trace_id) == []
    answers(WELL, WELL)
    with pytest.raises(StoreUnavailable):
        store.read(trace().trace_id)
