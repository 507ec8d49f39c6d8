"""`qualitrace judge`: scores the rows of a JSONL file, one line out for each line in, in order.

A row has `input` (the question or a conversation), `context` (a passage or a list of them), `output` (the answer), and
maybe `id` and `label` (1 = good, 0 = bad); other usual names and forms are understood as `evaluate` does. For safety,
toxicity and PII, which look at one text, the `input` of a row without `output` is that text. A row without a score says
why, and ends nothing.
"""

import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_base, wait_exponential

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges import Judge, JudgeError, NotApplicable, Score, TransientJudgeError
from qualitrace_monitors.rows.cells import content_of, passages_in, plain, usual_columns

LLM_CALLS = 8
"""Calls of an LLM judge in flight."""
ATTEMPTS = 5
_LONE_TEXT = ("safety", "toxicity", "pii")


class RowError(Exception):
    """A line that is no row; the message says what is wrong with it."""


@dataclass(slots=True)
class Result:
    """What came of one line or sample; `seconds` is the time that the judge took."""

    line: int = 0
    row: dict[str, Any] = field(default_factory=dict[str, Any])
    score: Score | None = None
    status: Literal["scored", "not_applicable", "failed"] = "scored"
    error: str = ""
    seconds: float = 0.0

    def to_json(self, judge: Judge) -> str:
        """Write it as one line of JSON."""
        record: dict[str, Any] = {"line": self.line, "status": self.status}
        record |= {key: self.row[key] for key in ("id", "metric") if key in self.row}
        record |= {"value": None, "label": None, "rationale": self.error}
        if self.score is not None:
            score = self.score
            record |= {"value": score.value, "label": score.label, "rationale": score.rationale}
            record |= {"input_tokens": score.input_tokens, "output_tokens": score.output_tokens}
            record |= {"cost_usd": score.cost_usd, "details": dict(score.details)}
        record |= {"judge": judge.name, "tier": judge.tier, "source": judge.source_id, "version": judge.version}
        return json.dumps(record, ensure_ascii=False)


def judge_lines(judge: Judge, metric: str, lines: Iterable[str]) -> Iterator[Result]:
    """Score each line that is not blank, in order; those of an LLM judge several at a time."""
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    if judge.tier == "local":
        yield from (_judge_line(judge, metric, number, line) for number, line in numbered)
        return
    with ThreadPoolExecutor(LLM_CALLS) as pool:
        waiting: list[Future[Result]] = []
        for number, line in numbered:
            waiting.append(pool.submit(_judge_line, judge, metric, number, line))
            if len(waiting) >= 2 * LLM_CALLS:
                yield waiting.pop(0).result()
        yield from (future.result() for future in waiting)


def read_row(line: str, metric: str) -> tuple[dict[str, Any], Sample]:
    """Read a line into the row and the sample that the metric judges.

    Raises:
        RowError: it is no JSON object, or a field has a wrong type.
    """
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RowError(f"not JSON: {error}") from None
    if not isinstance(row, dict):
        raise RowError(f"must be a JSON object with input, context and output, is {type(row).__name__}")
    cells = _cells(cast(dict[str, Any], row))
    content = content_of(cells.get("inputs"), cells.get("outputs"), cells.get("context"))
    question, answer = content.question, content.answer or ""
    if metric in _LONE_TEXT and not answer.strip():
        question, answer = "", question
    sample = Sample(
        inputs=question,
        outputs=answer,
        passages=content.passages,
        passages_source="retriever",
        conversation=content.conversation,
    )
    return cast(dict[str, Any], row), sample


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row's cells by metric input.

    Raises:
        RowError: one holds neither text nor anything that texts can be in, or passages that are none.
    """
    columns = usual_columns(row)
    cells = {key: plain(row[column]) for key, column in columns.items()}
    for key in ("inputs", "outputs"):
        if not isinstance(cells.get(key), str | list | dict | None):
            kind = type(cells[key]).__name__
            raise RowError(f"{columns[key]} must be a string, messages or an object with the text, is {kind}")
    context = cells.get("context")
    if context and not passages_in(context) and not _is_blank(context):
        raise RowError(f"{columns['context']} must be a string, a document, or a list of strings or documents")
    return cells


def _is_blank(context: Any) -> bool:
    texts: list[Any] = context if isinstance(context, list) else [context]
    return all(isinstance(text, str) and not text.strip() for text in texts)


def _judge_line(judge: Judge, metric: str, number: int, line: str) -> Result:
    try:
        row, sample = read_row(line, metric)
    except RowError as error:
        return Result(line=number, status="failed", error=f"line {number}: {error}")
    result = judge_sample(judge, sample)
    result.line, result.row = number, row
    if result.status == "failed":
        result.error = f"line {number}: {result.error}"
    return result


def judge_sample(judge: Judge, sample: Sample) -> Result:
    """Judge one sample with patience for a busy provider; what goes wrong is told in the result, never raised."""
    result = Result()
    started = time.perf_counter()
    try:
        result.score = _patiently(judge, sample)
    except NotApplicable as error:
        result.status, result.error = "not_applicable", str(error)
    except JudgeError as error:
        result.status, result.error = "failed", str(error)
    except Exception as error:  # a judge's bug is one row's failure, not the end of the run
        result.status, result.error = "failed", repr(error)
    result.seconds = time.perf_counter() - started
    return result


def _patiently(judge: Judge, sample: Sample) -> Score:
    tries = Retrying(
        retry=retry_if_exception_type(TransientJudgeError),
        stop=stop_after_attempt(ATTEMPTS),
        wait=_AsToldOrLonger(),
        reraise=True,
    )
    return tries(judge.score, sample)


class _AsToldOrLonger(wait_base):
    """Wait as long as the provider said, else 1, 2, 4 … seconds."""

    def __call__(self, retry_state: Any) -> float:
        error = retry_state.outcome.exception()
        return error.retry_after if error.retry_after is not None else wait_exponential(max=30)(retry_state)


def summary(judge: Judge, results: list[Result]) -> str:
    """Tell how many rows were scored and how; with labels (0 or 1), how well.

    AUROC is of the values. Balanced accuracy is at the judge's pass mark over all scored rows, and once more over those
    that the judge decided.
    """
    scored = [result for result in results if result.score is not None]
    parts = [f"{len(results)} rows, {len(scored)} scored"]
    parts += [
        f"{count} {status.replace('_', ' ')}"
        for status in ("not_applicable", "failed")
        if (count := sum(result.status == status for result in results))
    ]
    if scored:
        unsure = sum(result.score.label == "unsure" for result in scored if result.score) / len(scored)
        median = sorted(result.seconds for result in scored)[len(scored) // 2]
        parts += [f"unsure {unsure:.3f}", f"{median * 1000:.2f} ms a row"]
    return ", ".join(parts + _agreement(judge, scored))


def _agreement(judge: Judge, scored: list[Result]) -> list[str]:
    labelled = [(int(r.row["label"]), r.score) for r in scored if r.row.get("label") in (0, 1) and r.score]
    if len({label for label, _ in labelled}) < 2:
        return []
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    truth = [label for label, _ in labelled]
    passed = [int(score.value >= judge.pass_mark) for _, score in labelled]
    told = [f"AUROC {roc_auc_score(truth, [score.value for _, score in labelled]):.3f}"]
    told.append(f"balanced accuracy {balanced_accuracy_score(truth, passed):.3f}")
    decided = [(label, score.label == "pass") for label, score in labelled if score.label != "unsure"]
    if len({label for label, _ in decided}) == 2:
        told.append(f"of the decided {balanced_accuracy_score(*zip(*decided, strict=True)):.3f}")
    return told
