"""What a function or an endpoint is given of a row, and what becomes of its answer."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from qualitrace_monitors.evaluation.application import PredictionError, answerer
from qualitrace_monitors.evaluation.dataset import DatasetRow, read_rows
from support.app import served

FLAT = {
    "question": "Is it open?",
    "session": "s1",
    "context": ["Open till six."],
    "answer": "Yes.",
    "gold": "yes",
    "expectations": {"expected_response": "yes"},
}
TURNS = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Is it open?"},
]


def row(record: dict[str, Any], **options: Any) -> DatasetRow:
    (found,) = read_rows([record], **options)
    return found


def given(predict: Callable[[dict[str, Any]], Callable[..., Any]], record: dict[str, Any]) -> dict[str, Any]:
    """Return what a function got that notes it in the mapping that it is made with."""
    got: dict[str, Any] = {}
    answerer(predict(got))(row(record, targets="gold" if "gold" in record else None))
    return got


def noting(got: dict[str, Any], **values: Any) -> str:
    got.update(values)
    return "Yes."


def test_a_function_gets_the_question_and_the_columns_that_it_names() -> None:
    """Whatever its first parameter is called; what a row lacks keeps its default."""
    got = given(lambda got: lambda text, session, lang="en": noting(got, text=text, session=session, lang=lang), FLAT)
    assert got == {"text": "Is it open?", "session": "s1", "lang": "en"}


@pytest.mark.parametrize(
    "predict",
    [
        lambda got: lambda question: noting(got, question=question),
        lambda got: lambda *questions: noting(got, question=questions[0]),
        lambda got: lambda question, /, **_: noting(got, question=question),
        lambda got: lambda *, question: noting(got, question=question),
    ],
)
def test_a_function_of_the_question_alone_gets_the_question_alone(predict: Any) -> None:
    """Positional or by name, with or without room for more."""
    assert given(predict, FLAT) == {"question": "Is it open?"}


@pytest.mark.parametrize("name", ["answer", "gold", "expectations"])
def test_no_function_gets_what_it_is_to_answer(name: str) -> None:
    """The answers of the data and what is expected are nothing that an application could know."""
    got: dict[str, Any] = {}
    namespace: dict[str, Any] = {"noting": noting, "got": got}
    exec(f"def predict(question, {name}=None): return noting(got, value={name})", namespace)
    answerer(namespace["predict"])(row(FLAT, targets="gold"))
    assert got == {"value": None}


@pytest.mark.parametrize(
    "predict",
    [
        lambda got: lambda messages, user: noting(got, messages=messages, user=user),
        lambda got: lambda **inputs: noting(got, **inputs),
    ],
)
@pytest.mark.parametrize("write", [lambda inputs: inputs, json.dumps], ids=["mapping", "JSON"])
def test_inputs_are_given_by_name_as_mlflow_gives_them(predict: Any, write: Callable[[Any], Any]) -> None:
    """A function of MLflow's `evaluate` needs no change; messages come whole."""
    inputs = {"messages": TURNS, "user": "ada"}
    assert given(predict, {"inputs": write(inputs)}) == inputs


def test_a_function_that_does_not_name_all_inputs_gets_the_question_of_them() -> None:
    """Of messages it is the last that the user said."""
    record = {"inputs": {"messages": TURNS, "user": "ada"}}
    assert given(lambda got: lambda text: noting(got, text=text), record) == {"text": "Is it open?"}
    got = given(lambda got: lambda text, user: noting(got, text=text, user=user), record)
    assert got == {"text": "Is it open?", "user": "ada"}


def test_a_coroutine_answers_too() -> None:
    """Also one with further parameters."""

    async def predict(question: str, session: str) -> dict[str, Any]:
        return {"answer": f"{question} {session}", "context": ["P"]}

    assert answerer(predict)(row(FLAT, targets="gold")) == ("Is it open? s1", ("P",))


def test_a_function_that_asks_for_what_no_row_has_says_what_it_misses() -> None:
    """By Python's own error, which the row's failure repeats."""

    def predict(question: str, tenant: str) -> str:
        return f"{question} {tenant}"

    with pytest.raises(TypeError, match="tenant"):
        answerer(predict)(row(FLAT, targets="gold"))


@pytest.fixture
def flaky_endpoint() -> Iterator[tuple[str, list[Any]]]:
    """Serve an app that is away once, then answers; /broken never has JSON."""
    asked: list[Any] = []

    def answer(path: str, question: Any) -> tuple[int, bytes]:
        asked.append(question)
        body = b"oops" if path == "/broken" else json.dumps({"answer": "Yes.", "context": ["P"]}).encode()
        return 503 if len(asked) == 1 else 200, body

    with served(answer) as url:
        yield url, asked


def test_an_endpoint_that_is_away_is_asked_again(flaky_endpoint: tuple[str, list[Any]]):
    """A 503 costs no row; an answer that is not JSON is an error that names the endpoint."""
    url, asked = flaky_endpoint
    assert answerer(f"{url}/answer")(row({"question": "Why?"})) == ("Yes.", ("P",))
    assert asked == [{"question": "Why?"}] * 2
    with pytest.raises(PredictionError, match=f"{url}/broken: "):
        answerer(f"{url}/broken")(row({"question": "Why?"}))


def test_an_endpoint_gets_all_inputs(flaky_endpoint: tuple[str, list[Any]]) -> None:
    """Beside the question, so that it may go on with the conversation or know the user."""
    url, asked = flaky_endpoint
    answerer(f"{url}/answer")(row({"inputs": {"messages": TURNS, "user": "ada"}, "session": "s1"}))
    assert asked[-1] == {"question": "Is it open?", "messages": TURNS, "user": "ada"}
