"""Data sets as rows, whatever they are kept in and whatever their columns are called."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from qualitrace_monitors.evaluation.dataset import DataError, read_rows

RECORDS = [
    {"id": "a", "text": "Who?", "reply": "Ann.", "found": ["Ann did it."], "gold": "Ann"},
    {"id": "b", "text": "When?", "reply": "1999", "found": ["In 1999.", "Not in 1998."], "gold": "1999"},
]
MAPPING = {"inputs": "text", "context": "found"}


def kept_as(kind: str, folder: Path) -> Any:
    frame = pd.DataFrame(RECORDS)
    path = folder / f"rows.{kind}"
    match kind:
        case "jsonl":
            frame.to_json(path, orient="records", lines=True)
        case "parquet":
            frame.to_parquet(path)
        case "csv":
            frame.assign(found=['["Ann did it."]', '["In 1999.", "Not in 1998."]']).to_csv(path, index=False)
        case "frame":
            return frame
        case _:
            return RECORDS
    return path


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv", "frame", "list"])
def test_every_kind_of_data_gives_the_same_rows(kind: str, tmp_path: Path):
    """Question, answer, passages and target come out alike; a number in a CSV file is text again."""
    rows = read_rows(kept_as(kind, tmp_path), targets="gold", predictions="reply", col_mapping=MAPPING)
    assert [(row.key, row.question, row.answer, row.target) for row in rows] == [
        ("a", "Who?", "Ann.", "Ann"),
        ("b", "When?", "1999", "1999"),
    ]
    assert [row.context for row in rows] == [("Ann did it.",), ("In 1999.", "Not in 1998.")]


def test_usual_columns_need_no_mapping():
    """A data set with everyday names is read as it is; the expected answers are read only when they are named."""
    (row,) = read_rows([{"question": "Q", "answer": "A", "context": "P", "expected": "E"}])
    assert (row.question, row.answer, row.context, row.target) == ("Q", "A", ("P",), None)


def test_missing_cells_are_no_text():
    """An empty cell is an absent answer and target, not the word nan."""
    rows = read_rows(pd.DataFrame({"question": ["Q", "R"], "answer": ["A", None], "t": [None, 2.5]}), targets="t")
    assert [(row.answer, row.target) for row in rows] == [("A", None), (None, "2.5")]


def test_the_same_question_twice_has_two_keys_that_stay():
    """Each row finds its partner in a later run, in the order of the data."""
    data = [{"question": "Q"}, {"question": "R"}, {"question": "Q"}]
    keys = [row.key for row in read_rows(data)]
    assert len(set(keys)) == 3
    assert keys == [row.key for row in read_rows(data)]
    assert keys[2] == f"{keys[0]}#2"


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ([{"x": 1}], {}, r"no column with the questions .* among x: name it with `col_mapping`"),
        ([{"question": "Q"}], {"targets": "gold"}, r"`targets`: there is no column 'gold'; columns: question"),
        ([{"question": "Q"}], {"col_mapping": {"question": "Q"}}, r"unknown metric input 'question'; known: inputs"),
        ([], {}, r"has no rows|no column with the questions"),
        (3, {}, r"data must be a path.*is int"),
        ("nowhere.csv", {}, r"nowhere\.csv: cannot be read: No such file"),
        ("rows.xlsx", {}, r"rows\.xlsx: must end in \.csv, \.parquet, \.jsonl"),
    ],
)
def test_data_that_cannot_be_read_says_what_is_wrong(data: Any, options: dict[str, Any], message: str):
    """The message says where it is wrong and what to do."""
    with pytest.raises(DataError, match=message):
        read_rows(data, **options)


def test_a_broken_line_is_reported(tmp_path: Path):
    """A JSONL file with half a line is refused with its name."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "Q"}\n{"question"\n')
    with pytest.raises(DataError, match=r"rows\.jsonl: is no jsonl file"):
        read_rows(path)


def test_cells_of_a_csv_file_are_the_texts_that_they_are(tmp_path: Path):
    """Numbers keep their digits beside an empty cell, and a word such as None is an answer."""
    path = tmp_path / "rows.csv"
    path.write_text("id,question,answer\n007,a,1.10\n8,b,None\n,c,42\n")
    rows = read_rows(str(path))
    assert [row.answer for row in rows] == ["1.10", "None", "42"]
    assert [row.key for row in rows[:2]] == ["007", "8"]


def test_numbers_of_a_jsonl_file_stay_whole_beside_gaps(tmp_path: Path):
    """Three is not 3.0 because another row has no target."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "a", "answer": "3", "gold": 3}\n{"question": "b", "answer": "4"}\n')
    assert [row.target for row in read_rows(str(path), targets="gold")] == ["3", None]


@pytest.mark.parametrize("line", ["[1]", "{", "7"])
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: str):
    """By its number in the file."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "a"}\n\n' + line + "\n")
    with pytest.raises(DataError, match=r"line 3: "):
        read_rows(str(path))


def test_no_two_rows_have_the_same_key():
    """Not even where an id looks like the number that a repeated one is given: else one's scores would be lost."""
    ids = ["a", "a#2", "a", "a", "a#2"]
    keys = [row.key for row in read_rows([{"id": name, "question": "Q"} for name in ids])]
    assert len(set(keys)) == len(ids)
    assert keys[:2] == ["a", "a#2"]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_a_file_nested_without_end_is_refused(tmp_path: Path, name: str):
    """With its name, instead of the parser's exhaustion."""
    path = tmp_path / name
    path.write_text("[" * 100_000)
    with pytest.raises(DataError, match=f"{name}: is no "):
        read_rows(path)


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path: Path):
    """As editors on Windows put it before the first line."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "Q", "answer": "A"}\n', encoding="utf-8-sig")
    assert read_rows(path)[0].question == "Q"


def test_a_file_of_column_names_alone_has_no_rows(tmp_path: Path):
    """The message says so, and not that a column is missing."""
    path = tmp_path / "rows.csv"
    path.write_text("question,answer\n")
    with pytest.raises(DataError, match="has no rows"):
        read_rows(path)


def test_a_list_as_pandas_writes_it_is_a_list_of_passages(tmp_path: Path):
    """A frame with lists, kept as CSV, has them in Python's form."""
    path = tmp_path / "rows.csv"
    path.write_text("question,answer,context\nWhich?,Both.,\"['One.', 'Two.']\"\n")
    assert read_rows(path)[0].context == ("One.", "Two.")
