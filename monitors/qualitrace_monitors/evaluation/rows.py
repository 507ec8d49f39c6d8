"""A data set as rows: from a file, a frame, an MLflow data set or traces, whatever its columns are called."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
from mlflow.entities import EvaluationDataset, Trace
from mlflow.genai.datasets import EvaluationDataset as ManagedDataset

from qualitrace_collector.convert.content import as_sent, question_text
from qualitrace_collector.convert.content.documents import documents
from qualitrace_collector.convert.sample import question_and_answer

USUAL = {
    "inputs": ("inputs", "input", "question", "query", "prompt"),
    "outputs": ("outputs", "output", "answer", "prediction", "predictions", "response"),
    "context": ("context", "contexts", "retrieved_context", "passages", "documents"),
    "targets": (),
    "id": ("id",),
}
"""Metric inputs, and the columns that are taken for them where the caller names none. Targets are always named."""
_EXPECTED = "expected_response"
"""Where MLflow's data sets keep an expected answer."""


class DataError(Exception):
    """The data cannot be evaluated; the message names the place and the mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One question of the data set.

    Attributes:
        key: the same in every run over the same data: the `id` column, or a hash of the question.
        answer: None where it is yet to be produced.
        target: the expected answer, if there is one.
        trace: the recorded trace that the row is, instead of question, answer and context.
    """

    key: str
    question: str
    answer: str | None = None
    context: tuple[str, ...] = ()
    target: str | None = None
    trace: Trace | None = None


def read_rows(
    data: Any, targets: str | None = None, predictions: str | None = None, col_mapping: Mapping[str, str] | None = None
) -> list[Row]:
    """Read a data set.

    Args:
        data: path of a CSV, JSONL or Parquet file, pandas frame, list of mappings, MLflow data set, or traces.
        targets: column with the expected answers.
        predictions: column with the generated answers.
        col_mapping: from a metric input (`inputs`, `outputs`, `context`, `targets`, `id`) to the column that holds it.

    Raises:
        DataError: it cannot be read, is empty, or lacks a column that was named or is needed.
    """
    if isinstance(data, (EvaluationDataset, ManagedDataset)):
        rows = [_dataset_row(record, targets) for record in data.to_df().to_dict(orient="records")]
    elif isinstance(data, list) and data and all(isinstance(item, Trace) for item in data):
        rows = [_trace_row(trace, targets) for trace in data]
    else:
        frame = _frame(data)
        named = dict(col_mapping or {})
        named |= {key: name for key, name in (("targets", targets), ("outputs", predictions)) if name is not None}
        columns = _columns(frame, named)
        rows = [_row(record, columns) for record in frame.to_dict(orient="records")]
    if not rows:
        raise DataError("the data set has no rows")
    return _with_unique_keys(rows)


def _frame(data: Any) -> pd.DataFrame:
    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, list):
        return pd.DataFrame(data)
    if not isinstance(data, (str, Path)):
        raise DataError(
            f"data must be a path, a pandas frame, a list of mappings, an MLflow data set or traces, "
            f"is {type(data).__name__}"
        )
    path = Path(data)
    readers = {".csv": _read_csv, ".parquet": pd.read_parquet, ".jsonl": _read_jsonl}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: must end in {', '.join(readers)}")
    try:
        return reader(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise DataError(f"{path}: is no {path.suffix[1:]} file: {error}") from None


def _read_csv(path: Path) -> pd.DataFrame:
    """Read all cells as the texts that they are: `007`, `1.10` and `N/A` are answers; only an empty cell is none."""
    return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])


def _read_jsonl(path: Path) -> pd.DataFrame:
    records: list[dict[str, Any]] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number}: {error.msg} (column {error.colno})") from None
            if not isinstance(record, dict):
                raise ValueError(f"line {number}: must be a JSON object")
            records.append(cast(dict[str, Any], record))
    return pd.DataFrame(records, dtype=object)  # as one of numbers, a column with a gap would make 3 to 3.0


def _columns(frame: pd.DataFrame, named: Mapping[str, str]) -> dict[str, str]:
    """Say which column holds which metric input."""
    if unknown := set(named) - set(USUAL):
        raise DataError(f"col_mapping: unknown metric input {min(unknown)!r}; known: {', '.join(USUAL)}")
    present = [str(column) for column in frame.columns]
    for key, column in named.items():
        if column not in present:
            raise DataError(f"{key}: there is no column {column!r}; columns: {', '.join(present)}")
    columns = {key: next((name for name in names if name in present), None) for key, names in USUAL.items()}
    found = {key: column for key, column in columns.items() if column is not None} | dict(named)
    if "inputs" not in found:
        raise DataError(
            f"no column with the questions (one of {', '.join(USUAL['inputs'])}) among {', '.join(present)}: "
            "name it with col_mapping, for example inputs=text"
        )
    return found


def _row(record: Mapping[Any, Any], columns: Mapping[str, str]) -> Row:
    cells = {key: _present(record[column]) for key, column in columns.items()}
    question = _text(cells["inputs"])
    return Row(
        key=_key(question, cells.get("id")),
        question=question,
        answer=None if cells.get("outputs") is None else _text(cells["outputs"]),
        context=_context(cells.get("context")),
        target=None if cells.get("targets") is None else _text(cells["targets"]),
    )


def _dataset_row(record: Mapping[Any, Any], targets: str | None) -> Row:
    question = question_text(record["inputs"])
    expectations: Any = _present(record.get("expectations")) or {}
    target = expectations.get(targets or _EXPECTED)
    inputs = record["inputs"]
    context = _context(inputs.get("context")) if isinstance(inputs, dict) else ()
    return Row(
        key=_key(question, None), question=question, context=context, target=None if target is None else _text(target)
    )


def _trace_row(trace: Trace, targets: str | None) -> Row:
    expected = [
        a.expectation.value for a in trace.info.assessments if a.expectation and a.name == (targets or _EXPECTED)
    ]
    question, answer = question_and_answer(trace.data.spans) if trace.data.spans else ("", "")
    target = _text(expected[-1]) if expected else None
    return Row(key=trace.info.trace_id, question=question, answer=answer, target=target, trace=trace)


def _present(value: Any) -> Any:
    """Return None for what pandas puts where there is nothing."""
    return None if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)) else value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    found = question_text(value) if isinstance(value, (dict, list)) else as_sent(value)
    return found or str(value)


def _context(value: Any) -> tuple[str, ...]:
    """Read passages: one text, a list of texts or documents, or such a list as JSON (in a CSV file)."""
    if value is None:
        return ()
    if isinstance(value, str):
        if not value:
            return ()
        if not value.lstrip().startswith("["):
            return (value,)
        try:
            value = json.loads(value)
        except ValueError:
            return (value,)
    listed = list(value) if isinstance(value, Iterable) and not isinstance(value, dict) else value
    return tuple(document["page_content"] for document in documents(listed))


def _key(question: str, identifier: Any) -> str:
    return str(identifier) if identifier is not None else hashlib.sha256(question.encode()).hexdigest()[:16]


def _with_unique_keys(rows: Sequence[Row]) -> list[Row]:
    """Number the rows that ask the same, so that each has its partner in a run over the same data."""
    seen: Counter[str] = Counter()
    unique: list[Row] = []
    for row in rows:
        seen[row.key] += 1
        unique.append(row if seen[row.key] == 1 else replace(row, key=f"{row.key}#{seen[row.key]}"))
    return unique
