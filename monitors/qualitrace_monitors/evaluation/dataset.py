"""A data set as rows: from a file, a frame, an MLflow data set or traces, whatever the names of its columns."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import mlflow
import pandas as pd
from mlflow.entities import EvaluationDataset, Trace
from mlflow.genai.datasets import EvaluationDataset as ManagedDataset
from mlflow.genai.datasets import search_datasets

from qualitrace_collector.convert.build_sample import question_and_answer
from qualitrace_collector.convert.content import answer_text, opened
from qualitrace_collector.sample import Message
from qualitrace_monitors.rows.cells import COLUMNS, content_of, plain, read_record, unwrapped, usual_columns

EXPECTATIONS = "expectations"  # MLflow's column with what is expected, by name
TARGET = "expected_response"  # MLflow's name of the expectation that holds an expected answer
_CASES = ("testCases", "test_cases")  # where DeepEval's JSON of a test run keeps its rows


class DataError(Exception):
    """The data cannot be evaluated; the message says where it is wrong and what to do.

    Arguments of `evaluate` stand in backticks, so that the command can name its options instead.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRow:
    """One question of the data set.

    Attributes:
        key: the same in every run over the same data: the `id` column, or a hash of the question.
        answer: None where it is yet to be produced.
        target: the expected answer, if there is one.
        conversation: the earlier turns, oldest first.
        trace: the recorded trace that the row is, instead of question, answer and context.
        inputs: the cell of the question, if it is a mapping, as MLflow's are; else empty.
        named: what an application may ask for by name: the inputs and the columns, without answers and expectations.
    """

    key: str
    question: str
    answer: str | None = None
    context: tuple[str, ...] = ()
    target: str | None = None
    conversation: tuple[Message, ...] = ()
    trace: Trace | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    named: Mapping[str, Any] = field(default_factory=dict[str, Any])


def read_rows(
    data: Any, targets: str | None = None, predictions: str | None = None, col_mapping: Mapping[str, str] | None = None
) -> list[DatasetRow]:
    """Read a data set.

    Args:
        data: path of a CSV, JSONL, JSON or Parquet file, pandas frame, list of mappings, MLflow data set, or traces.
        targets: column with the expected answers, or their name among MLflow's `expectations`.
        predictions: column with the generated answers.
        col_mapping: from a metric input (`inputs`, `outputs`, `context`, `targets`, `id`) to the column that holds it.

    Raises:
        DataError: it cannot be read, is empty, or lacks a column that was named or is needed.
    """
    if isinstance(data, list) and data and all(isinstance(item, Trace) for item in cast(list[Any], data)):
        rows = [_trace_row(trace, targets) for trace in cast(list[Trace], data)]
    else:
        frame = _frame(data)
        if frame.empty:
            raise DataError("the data set has no rows")
        named = dict(col_mapping or {})
        named |= {key: name for key, name in (("targets", targets), ("outputs", predictions)) if name is not None}
        columns = _columns(frame, named)
        rows = [_row(plain(record), columns, named.get("targets")) for record in frame.to_dict(orient="records")]
    return _with_unique_keys(rows)


def find_traces(experiment: str, condition: str) -> Any:
    """Return the recorded traces of an experiment that meet MLflow's filter `condition`.

    Raises:
        DataError: MLflow has no such experiment.
        MlflowException: MLflow cannot be asked, or does not understand the filter.
    """
    place = mlflow.get_experiment_by_name(experiment)
    if place is None:
        raise DataError(f"--traces: MLflow has no experiment {experiment!r}")
    return mlflow.search_traces(locations=[place.experiment_id], filter_string=condition, return_type="list")


def find_dataset(name: str) -> ManagedDataset:
    """Return MLflow's evaluation data set of that name.

    Raises:
        DataError: MLflow has none.
    """
    found = search_datasets(filter_string=f"name = '{name}'")
    if not found:
        raise DataError(f"--dataset: MLflow has no evaluation data set {name!r}")
    return found[0]


def _frame(data: Any) -> pd.DataFrame:
    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, (EvaluationDataset, ManagedDataset)):
        return data.to_df()
    if isinstance(data, list):
        return _table([unwrapped(item) for item in cast(list[Any], data)])
    if not isinstance(data, (str, Path)):
        raise DataError(
            f"data must be a path, a pandas frame, a list of mappings, an MLflow data set or traces, "
            f"is {type(data).__name__}"
        )
    path = Path(data)
    readers = {".csv": _read_csv, ".parquet": pd.read_parquet, ".jsonl": _read_jsonl, ".json": _read_json}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: must end in {', '.join(readers)}")
    try:
        return reader(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no {path.suffix[1:]} file: {error}") from None


def _read_csv(path: Path) -> pd.DataFrame:
    # All cells stay the texts that they are: `007`, `1.10` and `N/A` are answers; only an empty cell is none.
    return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])


def _read_jsonl(path: Path) -> pd.DataFrame:
    records: list[dict[str, Any]] = []
    with path.open(encoding="utf-8-sig") as lines:  # editors on Windows put a byte order mark before the first line
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    records.append(read_record(line))
                except ValueError as error:
                    raise ValueError(f"line {number}: {error}") from None
    return _table(records)


def _read_json(path: Path) -> pd.DataFrame:
    """Read a list of objects, or DeepEval's test run with such a list."""
    found = json.loads(path.read_text(encoding="utf-8-sig"))
    if isinstance(found, dict):
        run = cast(dict[str, Any], found)
        found = next((run[key] for key in _CASES if key in run), run)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in cast(list[Any], found)):
        raise ValueError("must be a list of JSON objects")
    return _table(cast(list[Any], found))


def _table(records: list[Any]) -> pd.DataFrame:
    return pd.DataFrame(records, dtype=object)  # pandas would turn 3 into 3.0 in a column of numbers with a gap


_ARGUMENTS = {"targets": "`targets`", "outputs": "`predictions`"}


def _columns(frame: pd.DataFrame, named: Mapping[str, str]) -> dict[str, str]:
    """Return which column holds which metric input."""
    if unknown := set(named) - set(COLUMNS):
        raise DataError(f"`col_mapping`: unknown metric input {min(unknown)!r}; known: {', '.join(COLUMNS)}")
    present = [str(column) for column in frame.columns]
    for key, column in named.items():
        if column not in present and not (key == "targets" and EXPECTATIONS in present):
            raise DataError(f"{_ARGUMENTS.get(key, key)}: there is no column {column!r}; columns: {', '.join(present)}")
    found = usual_columns(present) | dict(named)
    if "inputs" not in found:
        raise DataError(
            f"no column with the questions (one of {', '.join(COLUMNS['inputs'])}) among {', '.join(present)}: "
            "name it with `col_mapping`, for example inputs=text"
        )
    return found


def _row(record: Mapping[str, Any], columns: Mapping[str, str], targets: str | None) -> DatasetRow:
    cells = {key: record.get(column) for key, column in columns.items()}
    content = content_of(cells["inputs"], cells.get("outputs"), cells.get("context"))
    target, row_id = cells.get("targets"), cells.get("id")
    if target is None:
        target = _expected(record.get(EXPECTATIONS), targets or TARGET)
    opened_inputs = opened(cells["inputs"])
    inputs = cast(dict[str, Any], opened_inputs) if isinstance(opened_inputs, dict) else {}
    kept_back = {EXPECTATIONS, columns.get("targets"), columns.get("outputs")}
    return DatasetRow(
        key=hashlib.sha256(content.question.encode()).hexdigest()[:16] if row_id is None else str(row_id),
        question=content.question,
        answer=content.answer,
        context=content.passages,
        target=None if target is None else answer_text(target),
        conversation=content.conversation,
        inputs=inputs,
        named={name: value for name, value in record.items() if name not in kept_back} | inputs,
    )


def _expected(expectations: Any, name: str) -> Any:
    found = opened(expectations)
    return cast(dict[str, Any], found).get(name) if isinstance(found, dict) else None


def _trace_row(trace: Trace, targets: str | None) -> DatasetRow:
    expected = [a.expectation.value for a in trace.info.assessments if a.expectation and a.name == (targets or TARGET)]
    spans = trace.data.spans
    question, answer = question_and_answer(spans) if spans else ("", "")
    return DatasetRow(
        key=trace.info.trace_id,
        question=question,
        answer=answer,
        target=answer_text(plain(expected[-1])) if expected else None,
        trace=trace,
    )


def _with_unique_keys(rows: Sequence[DatasetRow]) -> list[DatasetRow]:
    """Number the rows that ask the same, so that each has its partner in a run over the same data."""
    seen: Counter[str] = Counter()
    used: set[str] = set()
    unique: list[DatasetRow] = []
    for row in rows:
        key = row.key
        while key in used:
            seen[row.key] += 1
            key = f"{row.key}#{seen[row.key] + 1}"
        used.add(key)
        unique.append(replace(row, key=key))
    return unique
