"""The judges of production over the traces of a data set, several calls at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mlflow.environment_variables import MLFLOW_GENAI_EVAL_MAX_WORKERS
from rich.console import Console
from rich.progress import track

from qualitrace_collector.convert.build_sample import build_sample
from qualitrace_collector.sample import Sample
from qualitrace_monitors.evaluation.reference import EXPECTED
from qualitrace_monitors.evaluation.traces import RowTrace
from qualitrace_monitors.judges import Judge
from qualitrace_monitors.rows.score import Result, judge_sample

Results = dict[tuple[str, str], Result]
"""What came of each judgement, by row key and judge."""

_T = TypeVar("_T")
_R = TypeVar("_R")


def judge_all(traces: Sequence[RowTrace], judges: Sequence[Judge]) -> Results:
    """Let every judge score every row; each row has a result of each judge, whatever goes wrong."""
    samples = [_sample(trace) for trace in traces]
    pairs = [(trace, sample, judge) for trace, sample in zip(traces, samples, strict=True) for judge in judges]
    results = at_once("judging", lambda pair: _judged(pair[1], pair[2]), pairs)
    return {(trace.row.key, judge.name): result for (trace, _, judge), result in zip(pairs, results, strict=True)}


def at_once(what: str, work: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
    """Do some work on each item, in threads (as many as `mlflow.genai.evaluate` takes), and show how far it is."""
    progress = Console(stderr=True)
    with ThreadPoolExecutor(MLFLOW_GENAI_EVAL_MAX_WORKERS.get()) as pool:
        done = pool.map(work, items)
        shown = track(done, what, len(items), console=progress, transient=True, disable=not progress.is_terminal)
        return list(shown)


def _sample(trace: RowTrace) -> Sample | str:
    """Return what the collector would have made of the trace, or why there is nothing to judge."""
    if trace.failure:
        return f"there is no answer: {trace.failure}"
    try:
        sample = build_sample(trace.trace.data.spans, service="evaluation")
    except Exception as error:  # a trace that cannot be read is one row's failure, not the end of the run
        return f"its trace cannot be read: {error!r}"
    if trace.row.target is not None:
        sample.metadata[EXPECTED] = trace.row.target
    return sample


def _judged(sample: Sample | str, judge: Judge) -> Result:
    return Result(status="failed", error=sample) if isinstance(sample, str) else judge_sample(judge, sample)
