"""Score many samples with a judge: retry while its provider is busy, run several calls at once, keep the order.

`evaluate` uses them on the rows of a data set, `qualitrace judge` on the lines of a JSONL file. A line has `input` (the
question or a conversation), `context` (a passage or a list of them), `output` (the answer), and maybe `id` and `label`
(1 = good, 0 = bad); other usual names and forms are understood as in a data set. For safety, toxicity and PII, which
look at one text, the `input` of a line without `output` is that text.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from qualitrace_collector.masking import masked
from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.builtin import BUILTIN_METRICS
from qualitrace_monitors.judges.contract import Judge, JudgeError, NotApplicable, Score, TransientJudgeError
from qualitrace_monitors.rows.cells import content_of, passages_in, plain, read_record, usual_columns

LLM_CALLS = 8  # calls of an LLM judge in flight
ATTEMPTS = 5
_LONE_TEXT = frozenset(name for name, metric in BUILTIN_METRICS.items() if metric.judges_lone_text)
_WAIT = wait_exponential(max=30)

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class RowJudgement:
    """What came of one sample with one judge.

    Attributes:
        score: None unless the status is `scored`; `error` then says why.
        status: `missing` is a judgement that could not be written where it belongs.
        seconds: the time that the judge took.
    """

    score: Score | None = None
    status: Literal["scored", "not_applicable", "failed", "missing"] = "scored"
    error: str = ""
    seconds: float = 0.0


def judge_sample(judge: Judge, sample: Sample) -> RowJudgement:
    """Judge one sample, and retry while the provider is busy. Errors are returned in the result, never raised."""
    tries = Retrying(
        retry=retry_if_exception_type(TransientJudgeError),
        stop=stop_after_attempt(ATTEMPTS),
        wait=_seconds_to_wait,
        reraise=True,
    )
    started = time.perf_counter()
    try:
        score = tries(judge.score, sample)
    except NotApplicable as error:
        return RowJudgement(None, "not_applicable", str(error), time.perf_counter() - started)
    except JudgeError as error:
        return RowJudgement(None, "failed", str(error), time.perf_counter() - started)
    except Exception as error:  # a judge's bug is one row's failure, not the end of the run
        return RowJudgement(None, "failed", masked(repr(error)), time.perf_counter() - started)
    return RowJudgement(score, seconds=time.perf_counter() - started)


def _seconds_to_wait(state: RetryCallState) -> float:
    """Return the seconds that the provider asked for, else 1, 2, 4 …"""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, TransientJudgeError) else None
    return _WAIT(state) if asked is None else asked


def at_once(work: Callable[[_T], _R], items: Iterable[_T], workers: int) -> Iterator[_R]:
    """Apply `work` to each item in threads, and yield the results in order; items are read as they are needed."""
    with ThreadPoolExecutor(workers) as pool:
        begun: deque[Future[_R]] = deque()
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) >= 2 * workers:
                yield begun.popleft().result()
        for future in begun:
            yield future.result()


@dataclass(frozen=True, slots=True)
class JudgedLine:
    """A line of a JSONL file with its judgement; `row` is empty if the line holds none."""

    number: int
    judgement: RowJudgement
    row: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def error(self) -> str:
        """Why there is no score; a failure names its line."""
        failed = self.judgement.status == "failed"
        return f"line {self.number}: {self.judgement.error}" if failed else self.judgement.error

    def to_json(self, judge: Judge) -> str:
        """Write it as one line of JSON."""
        record: dict[str, Any] = {"line": self.number, "status": self.judgement.status}
        record |= {key: self.row[key] for key in ("id", "metric") if key in self.row}
        record |= {"value": None, "label": None, "rationale": self.error}
        if (score := self.judgement.score) is not None:
            record |= {"value": score.value, "label": score.label, "rationale": score.rationale}
            record |= {"input_tokens": score.input_tokens, "output_tokens": score.output_tokens}
            record |= {"cost_usd": score.cost_usd, "details": dict(score.details)}
        record |= {"judge": judge.name, "tier": judge.tier, "source": judge.source_id, "version": judge.version}
        return json.dumps(record, ensure_ascii=False)


def judge_lines(judge: Judge, metric: str, lines: Iterable[str]) -> Iterator[JudgedLine]:
    """Judge each line that is not blank, in order."""

    def judged(numbered: tuple[int, str]) -> JudgedLine:
        number, line = numbered
        try:
            row = read_record(line)
            sample = _sample(row, metric)
        except ValueError as error:
            return JudgedLine(number, RowJudgement(status="failed", error=masked(str(error))))
        return JudgedLine(number, judge_sample(judge, sample), row)

    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    # A local judge scores each line before the next is read: whoever writes them to a pipe may wait for the score.
    return map(judged, numbered) if judge.tier == "local" else at_once(judged, numbered, LLM_CALLS)


def _sample(row: dict[str, Any], metric: str) -> Sample:
    """Make the sample that a metric judges.

    Raises:
        ValueError: a cell holds neither text nor anything that texts can be in, or passages that are none.
    """
    columns = usual_columns(row)
    cells = {key: plain(row[column]) for key, column in columns.items()}
    for key in ("inputs", "outputs"):
        if not isinstance(cells.get(key), str | list | dict | None):
            kind = type(cells[key]).__name__
            raise ValueError(f"{columns[key]} must be a string, messages or an object with the text, is {kind}")
    context = cells.get("context")
    if context and not passages_in(context) and not _is_blank(context):
        raise ValueError(f"{columns['context']} must be a string, a document, or a list of strings or documents")
    content = content_of(cells.get("inputs"), cells.get("outputs"), context)
    question, answer = content.question, content.answer or ""
    if metric in _LONE_TEXT and not answer.strip():
        question, answer = "", question
    return Sample(
        inputs=question,
        outputs=answer,
        passages=content.passages,
        passages_source="retriever",
        conversation=content.conversation,
    )


def _is_blank(context: Any) -> bool:
    texts: list[Any] = context if isinstance(context, list) else [context]
    return all(isinstance(text, str) and not text.strip() for text in texts)


def summary(judge: Judge, lines: Sequence[JudgedLine]) -> str:
    """Return how many lines were scored and with what result; with labels (0 or 1), how well the judge did.

    AUROC is of the values. Balanced accuracy is at the judge's pass mark over all scored lines, and again over those
    that the judge decided.
    """
    scored = [(line, score) for line in lines if (score := line.judgement.score) is not None]
    parts = [f"{len(lines)} rows, {len(scored)} scored"]
    parts += [
        f"{count} {status.replace('_', ' ')}"
        for status in ("not_applicable", "failed")
        if (count := sum(line.judgement.status == status for line in lines))
    ]
    if scored:
        unsure = sum(score.label == "unsure" for _, score in scored) / len(scored)
        seconds = median(line.judgement.seconds for line, _ in scored)
        parts += [f"unsure {unsure:.3f}", f"{seconds * 1000:.2f} ms a row"]
    labelled = [(int(line.row["label"]), score) for line, score in scored if line.row.get("label") in (0, 1)]
    return ", ".join(parts + _agreement(judge, labelled))


def _agreement(judge: Judge, labelled: Sequence[tuple[int, Score]]) -> list[str]:
    if len({label for label, _ in labelled}) < 2:
        return []
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    labels = [label for label, _ in labelled]
    passed = [int(score.value >= judge.pass_mark) for _, score in labelled]
    decided = [(label, score.label == "pass") for label, score in labelled if score.label != "unsure"]
    parts = [f"AUROC {roc_auc_score(labels, [score.value for _, score in labelled]):.3f}"]
    parts.append(f"balanced accuracy {balanced_accuracy_score(labels, passed):.3f}")
    if len({label for label, _ in decided}) == 2:
        parts.append(f"of the decided {balanced_accuracy_score(*zip(*decided, strict=True)):.3f}")
    return parts
