"""A row of data as question, answer, passages and earlier turns, whatever its columns and cells look like.

Content is read by the same code as that of recorded traces. Names of columns are those of everyday data, of MLflow
(mlflow.genai.evaluate), of Ragas (ragas/dataset_schema.py, and before 0.2 `question`, `answer`, `contexts`) and of
DeepEval (deepeval/dataset/golden.py, with the aliases of its JSON).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, cast

import pandas as pd

from qualitrace_collector.convert.content import (
    answer_text,
    earlier_turns,
    messages_in,
    opened,
    question_text,
)
from qualitrace_collector.convert.content.documents import document_texts
from qualitrace_collector.sample import Message

# Metric inputs, and the columns that are taken for them where the caller names none. Targets are always named: a column
# that only looks like one would add metrics that nobody asked for.
COLUMNS = {
    "inputs": ("inputs", "input", "question", "query", "prompt", "user_input", "messages", "turns"),
    "outputs": tuple("outputs output answer prediction predictions response actual_output actualOutput".split()),
    "context": (
        *("retrieved_contexts", "retrieval_context", "retrievalContext", "context", "contexts", "retrieved_context"),
        *("passages", "documents", "source_documents"),
    ),
    "targets": (),
    "id": ("id",),
}
# Names of DeepEval's test cases, whose `context` is what should have been retrieved, not what was.
DEEPEVAL = frozenset(
    "actual_output actualOutput expected_output expectedOutput retrieval_context retrievalContext".split()
)
MAX_DEPTH = 64  # levels of a cell; what lies deeper is left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The texts of a row; the answer is None where there is none yet."""

    question: str
    answer: str | None
    passages: tuple[str, ...]
    conversation: tuple[Message, ...]


def read_record(line: str) -> dict[str, Any]:
    """Read a line of a JSONL file.

    Raises:
        ValueError: it is not a JSON object; the message says what is wrong.
    """
    try:
        record: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None
    if not isinstance(record, dict):
        raise ValueError(f"must be a JSON object, is {type(record).__name__}")
    return cast(dict[str, Any], record)


def usual_columns(present: Iterable[str]) -> dict[str, str]:
    """Return which of these columns holds which metric input: the first of the usual names."""
    names = set(present)
    if names & DEEPEVAL:
        names.discard("context")
    found = {key: next((name for name in usual if name in names), None) for key, usual in COLUMNS.items()}
    return {key: name for key, name in found.items() if name is not None}


def content_of(inputs: Any, outputs: Any = None, context: Any = None) -> Content:
    """Read the cells of a row, made plain.

    A whole transcript as input, which ends with the assistant's turn, holds the answer, too; as output, the earlier
    turns. Passages that stand in no column of their own are looked for beside the answer and beside the question.
    """
    if outputs is None:
        outputs = _last_words(inputs)
    return Content(
        question=question_text(inputs),
        answer=None if outputs is None else answer_text(outputs, inputs),
        passages=passages_in(context) or _passages_beside(outputs) or _passages_beside(inputs),
        conversation=earlier_turns(inputs) or earlier_turns(outputs),
    )


def passages_in(value: Any) -> tuple[str, ...]:
    """Read passages: one text, one document, or a list of texts or documents; also as JSON text."""
    value = opened(value)
    return tuple(document_texts([value] if isinstance(value, str) else value))


def _passages_beside(value: Any) -> tuple[str, ...]:
    value = opened(value)
    if not isinstance(value, dict):
        return ()
    holder = cast(dict[str, Any], value)
    return next((found for name in COLUMNS["context"] if (found := passages_in(holder.get(name)))), ())


def _last_words(inputs: Any) -> str | None:
    """Return the answer at the end of a transcript (Ragas's and DeepEval's of many turns have no other)."""
    turns = [turn for turn in messages_in(inputs) if turn.role in ("user", "assistant") and turn.content.strip()]
    return turns[-1].content if len(turns) > 1 and turns[-1].role == "assistant" else None


def plain(value: Any, depth: int = 0) -> Any:
    """Return a cell as a JSON value: without NumPy's arrays, objects of libraries, and missing values."""
    if depth > MAX_DEPTH:
        return None
    value = unwrapped(value.tolist() if hasattr(value, "tolist") else value)  # NumPy's, as Parquet files have them
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value).items()
        return {str(key): kept for key, item in items if (kept := plain(item, depth + 1)) is not None}
    if isinstance(value, (list, tuple, set, frozenset)):
        listed = (plain(item, depth + 1) for item in cast(Iterable[Any], value))
        return [item for item in listed if item is not None]
    return None if pd.api.types.is_scalar(value) and bool(pd.isna(value)) else value


def unwrapped(value: Any) -> Any:
    """Return a pydantic model or a data class (a message, a document, a test case) as a mapping."""
    if hasattr(value, "model_dump"):
        return value.model_dump()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
