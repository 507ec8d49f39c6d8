"""The forms that rows come in: messages, transcripts, documents, and the columns of other tools."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

import qualitrace_monitors
from qualitrace_collector.sample import Message
from qualitrace_monitors.evaluation.dataset import DataError, DatasetRow, read_rows
from qualitrace_monitors.rows.cells import content_of, passages_in, plain
from support.judge_model import judge_model

QUESTION = "When does the ferry leave?"
ANSWER = "The ferry leaves at noon."
EARLIER = [{"role": "user", "content": "I am in Bergen."}, {"role": "assistant", "content": "Lovely."}]
ASKED = {"role": "user", "content": QUESTION}
SAID = {"role": "assistant", "content": ANSWER}
TURNS = (Message(role="user", content="I am in Bergen."), Message(role="assistant", content="Lovely."))

ANSWERS: dict[str, Any] = {
    "text": ANSWER,
    "message": SAID,
    "messages": [SAID],
    "wrapped": {"messages": [SAID]},
    "choices": {"choices": [{"index": 0, "message": SAID, "finish_reason": "stop"}]},
    "transcript": [*EARLIER, ASKED, SAID],
    "transcript-dict": {"messages": [*EARLIER, ASKED, SAID]},
    "answer-dict": {"answer": ANSWER},
}
CONTEXTS: dict[str, Any] = {
    "text": ANSWER,
    "texts": [ANSWER],
    "with-null": [None, ANSWER],
    "with-empty": ["", ANSWER, "  "],
    "document": {"page_content": ANSWER, "metadata": {"page": 3}},
    "documents": [{"text": ANSWER, "score": 0.5}],
    "wrapped": {"documents": [{"content": ANSWER, "meta": {"page": 3}}]},
}


def carried(cells: dict[str, Any], kind: str, folder: Path) -> Any:
    """Keep one row in a file, a frame or a list."""
    path = folder / f"rows.{kind}"
    match kind:
        case "jsonl":
            path.write_text(json.dumps(cells) + "\n")
        case "json":
            path.write_text(json.dumps([cells]))
        case "csv":
            texts = {key: cell if isinstance(cell, str) else json.dumps(cell) for key, cell in cells.items()}
            pd.DataFrame([texts]).to_csv(path, index=False)
        case "pandas.csv":  # lists and mappings as pandas writes them
            pd.DataFrame([cells]).to_csv(path, index=False)
        case "parquet":
            pd.DataFrame([cells]).to_parquet(path)
        case "frame":
            return pd.DataFrame([cells])
        case _:
            return [cells]
    return path


KINDS = ["jsonl", "json", "csv", "pandas.csv", "parquet", "frame", "list"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ANSWERS)
def test_an_answer_is_read_in_every_form_from_everywhere(form: str, kind: str, tmp_path: Path):
    """The text of the assistant's last turn, and not the turns around it."""
    (row,) = read_rows(carried({"inputs": QUESTION, "outputs": ANSWERS[form]}, kind, tmp_path))
    assert (row.question, row.answer) == (QUESTION, ANSWER)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", CONTEXTS)
def test_passages_are_read_in_every_form_from_everywhere(form: str, kind: str, tmp_path: Path):
    """One text, one document or lists of them; items that hold nothing are not passages."""
    row_cells = {"inputs": QUESTION, "outputs": ANSWER, "context": CONTEXTS[form]}
    (row,) = read_rows(carried(row_cells, kind, tmp_path))
    assert row.context == (ANSWER,)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inputs", [[*EARLIER, ASKED], {"messages": [*EARLIER, ASKED]}])
def test_earlier_turns_are_no_part_of_the_question(inputs: Any, kind: str, tmp_path: Path):
    """The last user turn asks; the turns before it are the row's conversation."""
    (row,) = read_rows(carried({"inputs": inputs, "outputs": ANSWER}, kind, tmp_path))
    assert (row.question, row.conversation) == (QUESTION, TURNS)


def test_a_transcript_as_output_holds_the_earlier_turns():
    """They reach the judges also where the input is only the question."""
    assert content_of(QUESTION, [*EARLIER, ASKED, SAID]).conversation == TURNS


def test_a_transcript_as_input_holds_the_answer():
    """As in Ragas's samples of many turns and in files for fine-tuning: what the assistant said last."""
    content = content_of([*EARLIER, ASKED, SAID])
    assert (content.question, content.answer, content.conversation) == (QUESTION, ANSWER, TURNS)
    assert content_of([*EARLIER, ASKED]).answer is None


def test_passages_are_found_beside_the_answer_and_beside_the_question():
    """Chains return them with the answer; data sets of MLflow keep them among the inputs."""
    assert content_of(QUESTION, {"answer": ANSWER, "contexts": [ANSWER]}).passages == (ANSWER,)
    assert content_of({"question": QUESTION, "context": ANSWER}, ANSWER).passages == (ANSWER,)


@pytest.mark.parametrize(
    ("record", "target"),
    [
        (  # Ragas
            {
                "user_input": QUESTION,
                "response": ANSWER,
                "retrieved_contexts": [ANSWER],
                "reference_contexts": ["Another one."],
                "reference": "noon",
            },
            "reference",
        ),
        (  # Ragas before 0.2
            {"question": QUESTION, "answer": ANSWER, "contexts": [ANSWER], "ground_truth": "noon"},
            "ground_truth",
        ),
        (  # DeepEval
            {
                "input": QUESTION,
                "actual_output": ANSWER,
                "retrieval_context": [ANSWER],
                "context": ["The ideal one."],
                "expected_output": "noon",
            },
            "expected_output",
        ),
        (  # DeepEval's JSON
            {
                "input": QUESTION,
                "actualOutput": ANSWER,
                "retrievalContext": [ANSWER],
                "context": ["The ideal one."],
                "expectedOutput": "noon",
            },
            "expectedOutput",
        ),
    ],
)
def test_columns_of_other_tools_are_understood(record: dict[str, Any], target: str):
    """Question, answer and what was retrieved; an expected answer only where it is named."""
    (row,) = read_rows([record])
    assert (row.question, row.answer, row.context, row.target) == (QUESTION, ANSWER, (ANSWER,), None)
    assert read_rows([record], targets=target)[0].target == "noon"


def test_what_deepeval_should_have_retrieved_is_not_what_it_retrieved():
    """A test case without a retrieval context has no passages, though it has the ideal ones."""
    (row,) = read_rows([{"input": QUESTION, "actual_output": ANSWER, "context": ["The ideal one."]}])
    assert row.context == ()


def test_deepevals_file_of_a_test_run_is_read(tmp_path: Path):
    """Its rows are under `testCases`."""
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"testCases": [{"input": QUESTION, "actualOutput": ANSWER}], "metricsScores": []}))
    assert [(row.question, row.answer) for row in read_rows(path)] == [(QUESTION, ANSWER)]


def test_ragas_samples_of_many_turns_are_read():
    """Their messages have a type instead of a role."""
    turns = [{"content": turn["content"], "type": kind} for turn, kind in zip(EARLIER, ("human", "ai"), strict=True)]
    said = [{"content": QUESTION, "type": "human"}, {"content": ANSWER, "type": "ai", "tool_calls": None}]
    (row,) = read_rows([{"user_input": [*turns, *said], "reference": "noon"}])
    assert (row.question, row.answer, row.conversation) == (QUESTION, ANSWER, TURNS)


def test_mlflows_expectations_hold_the_expected_answer():
    """`expected_response` is MLflow's own name, which nobody has to give; another is named as the target."""
    record = {"inputs": {"question": QUESTION}, "outputs": {"response": ANSWER}}
    (row,) = read_rows([{**record, "expectations": {"expected_response": "noon", "tide": "high"}}])
    assert (row.question, row.answer, row.target) == (QUESTION, ANSWER, "noon")
    (row,) = read_rows([{**record, "expectations": {"tide": "high"}}], targets="tide")
    assert row.target == "high"


class Case(BaseModel):
    """A sample of a library."""

    user_input: str
    response: str


def test_objects_of_libraries_are_rows():
    """A list of pydantic models is a list of mappings."""
    assert read_rows([Case(user_input=QUESTION, response=ANSWER)])[0].answer == ANSWER


def test_a_cell_is_made_plain():
    """NumPy's arrays and scalars, missing values and models are JSON values; nothing is left of what is not there."""
    cell = {"a": np.array([{"b": np.int64(3), "c": float("nan")}], dtype=object), "d": pd.NA, "e": (1, None)}
    assert plain(cell) == {"a": [{"b": 3}], "e": [1]}


def test_a_cell_nested_without_end_is_cut():
    """A row costs bounded time and stack, whatever is in it."""
    deep: Any = ANSWER
    for _ in range(500):
        deep = [deep]
    assert passages_in(plain(deep)) == ()


def test_a_text_in_brackets_is_a_text(tmp_path: Path):
    """What is neither JSON nor a Python value is taken as it is."""
    path = tmp_path / "rows.csv"
    path.write_text('question,answer,context\nWhy?,{ok},"[1] The ferry, and no other."\n')
    (row,) = read_rows(path)
    assert (row.answer, row.context) == ("{ok}", ("[1] The ferry, and no other.",))


@pytest.mark.parametrize("text", ["7", '{"question": "Q"}', "[1]", "["])
def test_a_json_file_without_a_list_of_objects_is_refused(text: str, tmp_path: Path):
    """With its name and what is wrong."""
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"rows\.json: is no json file: "):
        read_rows(path)


def test_earlier_turns_reach_the_judge(tracking: str):
    """A model is asked with the conversation before the question, whether a row holds it or a recorded trace."""
    with judge_model() as (url, requests):
        metric = {"name": "relevance", "model": "openai:/m", "base_url": url}
        rows = [{"inputs": {"messages": [*EARLIER, ASKED]}, "outputs": ANSWER}]
        evaluation = qualitrace_monitors.evaluate(rows, metrics=[metric])
        traces = _traces_of(evaluation.run_id)
        qualitrace_monitors.evaluate(traces, metrics=[metric])
    assert len(requests) == 2
    assert all("I am in Bergen." in json.dumps(request["messages"]) for request in requests)


def _traces_of(run_id: str) -> Any:
    import mlflow

    experiment = mlflow.get_run(run_id).info.experiment_id
    return mlflow.search_traces(locations=[experiment], run_id=run_id, return_type="list")


def test_a_row_is_its_content():
    """Two rows are the same where their content is, in whatever form it came."""
    rows: list[DatasetRow] = []
    for outputs in ANSWERS.values():
        rows += read_rows([{"inputs": QUESTION, "outputs": outputs}])
    assert len({row.key for row in rows}) == 1
