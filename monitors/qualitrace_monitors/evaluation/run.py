"""`evaluate`: scores a data set with the judges of production, as an MLflow evaluation run."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import mlflow
import pandas as pd
from mlflow.environment_variables import MLFLOW_GENAI_EVAL_MAX_WORKERS
from mlflow.models.evaluation.utils.trace import configure_autologging_for_evaluation

from qualitrace_collector.convert.build_sample import build_sample
from qualitrace_collector.sample import Sample
from qualitrace_monitors.evaluation.application import Predict, answerer
from qualitrace_monitors.evaluation.comparison import EarlierRun
from qualitrace_monitors.evaluation.dataset import DataError, DatasetRow, read_rows
from qualitrace_monitors.evaluation.metrics import EXPECTED, MetricSpec, judges_of
from qualitrace_monitors.evaluation.patience import without_tracebacks
from qualitrace_monitors.evaluation.result import (
    Evaluation,
    Gate,
    ScoredRow,
    tracking,
)
from qualitrace_monitors.evaluation.run_writer import Judgements, RunWriter
from qualitrace_monitors.evaluation.summary import summarize
from qualitrace_monitors.evaluation.traces import RowTrace, predicted, recorded
from qualitrace_monitors.judges.contract import Judge
from qualitrace_monitors.progress import Progress
from qualitrace_monitors.rows.score import RowJudgement, judge_sample

_T = TypeVar("_T")
_R = TypeVar("_R")


def evaluate(
    data: Any,
    *,
    model_type: str | None = None,
    targets: str | None = None,
    predictions: str | None = None,
    evaluator_config: Mapping[str, Any] | None = None,
    metrics: Sequence[MetricSpec] = (),
    predict: Predict | str | None = None,
    model: str | None = None,
    base_url: str | None = None,
    temperature: float = 0.0,
    baseline: str | None = None,
    fail_under: Mapping[str, float] | None = None,
    confidence: float = 0.95,
    tracking_uri: str | None = None,
    experiment: str = "evaluation",
    run_name: str | None = None,
    quiet: bool = False,
) -> Evaluation:
    """Score a data set with the judges of production, as an MLflow evaluation run.

    Args:
        data: path of a CSV, JSONL, JSON or Parquet file, pandas frame, list of mappings, MLflow evaluation data set,
            or list of MLflow traces.
        model_type: `question-answering` or `text`: the default metrics for the type.
        targets: column with the expected answers, or their name in MLflow's `expectations`; without it those named
            `expected_response` there are taken, and no column.
        predictions: column with the generated answers.
        evaluator_config: `{"col_mapping": {metric input: column}}`, with the metric inputs `inputs`, `outputs`,
            `context`, `targets` and `id`.
        metrics: further ones: names, or judges as in the configuration's `judges`.
        predict: what answers the questions instead of a column: a function of the question, or an HTTP endpoint's URL.
            A function gets what a row has under the names of its further parameters. Inputs that are a mapping are
            given to it by name, as to MLflow's `predict_fn`, and sent to an endpoint beside `question`.
        model: MLflow model URI that judges what a metric without a model of its own cannot: answer correctness.
        base_url: of an OpenAI-compatible server, for `model`.
        temperature: of `model`.
        baseline: id of an earlier run over the same rows to compare with.
        fail_under: least mean of a metric, or least pass rate under `NAME.pass_rate`; see `Evaluation.passed`.
        confidence: of all intervals.
        tracking_uri: MLflow's for this call, else as MLflow is configured. A new experiment in a SQLite file has its
            artifacts beside it, in `artifacts`.
        experiment: its name.
        run_name: MLflow makes one up if there is none.
        quiet: show no progress; where standard error is not a terminal there is none anyway.

    Returns:
        What was found. No row is lost silently: see `Evaluation.is_complete` and `Evaluation.missing`.

    Raises:
        DataError: the data, a metric, the baseline or the gate cannot be used; the message says why.
        StoreUnavailable, MlflowException: MLflow cannot be used. Where it is busy or away later on, it is waited for.
    """
    with tracking(tracking_uri), without_tracebacks():
        with Progress("reading", quiet=quiet):
            rows = read_rows(data, targets, predictions, _col_mapping(evaluator_config))
        judges = judges_of(
            model_type, metrics, any(row.target is not None for row in rows), model, base_url, temperature
        )
        earlier = None if baseline is None else EarlierRun(baseline)
        gates = _gates(fail_under, judges)
        _check_answers(rows, predict)
        writer = RunWriter(mlflow.get_tracking_uri(), experiment)
        if tracking_uri is None:
            # What the caller traces next belongs to the experiment, as after mlflow.genai.evaluate.
            mlflow.set_experiment(experiment_id=writer.experiment_id)
        # The digest of these columns shows whether two runs had the same rows.
        named = [{"question": row.question, "answer": row.answer, "expected": row.target} for row in rows]
        writer.start(run_name, pd.DataFrame(named))
        try:
            traces = _traces(rows, predict, writer.experiment_id, quiet=quiet)
            judgements = _judge_all(traces, judges, quiet=quiet)
            with Progress("writing traces", len(traces), quiet=quiet) as progress:
                judgements |= writer.save(traces, judges, judgements, progress)
        except BaseException:
            with suppress(Exception):
                writer.fail()
            raise
        evaluation = Evaluation(
            run_id=writer.run_id,
            tracking_uri=writer.tracking_uri,
            experiment=experiment,
            confidence=confidence,
            rows=[_scored_row(trace, judges, judgements) for trace in traces],
            metrics={
                judge.name: summarize(judge, [judgements[row.key, judge.name] for row in rows], confidence)
                for judge in judges
            },
            baseline=baseline,
        )
        if earlier is not None:
            evaluation.comparisons = [
                earlier.compare(summary, evaluation.values(summary.metric), confidence)
                for summary in evaluation.metrics.values()
            ]
        evaluation.gates = [gate.held_against(evaluation.metrics[gate.metric]) for gate in gates]
        about = {"model_type": model_type, "data": data if isinstance(data, str) else type(data).__name__}
        with Progress("writing the run", quiet=quiet):
            writer.finish(evaluation, about)
    return evaluation


def _col_mapping(evaluator_config: Mapping[str, Any] | None) -> Mapping[str, str]:
    config = dict(evaluator_config or {})
    mapping = config.pop("col_mapping", {})
    if config:
        raise DataError(f"`evaluator_config`: unknown key {min(config)!r}; known: col_mapping")
    return mapping


def _gates(fail_under: Mapping[str, float] | None, judges: Sequence[Judge]) -> list[Gate]:
    names, gates = [judge.name for judge in judges], list[Gate]()
    for key, threshold in (fail_under or {}).items():
        metric, _, named = key.partition(".")
        if metric not in names or named not in ("", "mean", "pass_rate"):
            raise DataError(
                f"`fail_under`: {key!r} is no metric of this run; there are {', '.join(names)}, "
                "each also with .pass_rate"
            )
        if not 0 <= threshold <= 1:
            raise DataError(f"`fail_under`: {key} must be from 0 to 1, as scores are (got {threshold:g})")
        gates.append(Gate(metric, "pass_rate" if named == "pass_rate" else "mean", threshold))
    return gates


def _check_answers(rows: Sequence[DatasetRow], predict: Predict | str | None) -> None:
    unanswered = sum(row.answer is None for row in rows)
    if predict is None and unanswered:
        raise DataError(
            f"{unanswered} of {len(rows)} rows have no answer: name their column with `predictions`, "
            "or give `predict`, which answers the questions"
        )


def _traces(
    rows: Sequence[DatasetRow], predict: Predict | str | None, experiment_id: str, *, quiet: bool
) -> list[RowTrace]:
    """Make the trace of each row, with the answers that it lacks."""
    if predict is None:
        return [recorded(row, experiment_id) for row in rows]
    answer = answerer(predict)
    with configure_autologging_for_evaluation(enable_tracing=True):  # what the application calls is traced
        traces = _with_progress("answering", lambda row: predicted(row, answer, experiment_id), rows, quiet=quiet)
    # Even if the data has answers of its own, no gate lets a dead application pass.
    if all(trace.failure for trace in traces):
        raise DataError(f"`predict`: no question was answered: {traces[0].failure}")
    return traces


def _judge_all(traces: Sequence[RowTrace], judges: Sequence[Judge], *, quiet: bool) -> Judgements:
    """Let every judge score every row; each row has a judgement of each judge, whatever goes wrong."""
    samples = [_sample(trace) for trace in traces]
    pairs = [(trace, sample, judge) for trace, sample in zip(traces, samples, strict=True) for judge in judges]
    judgements = _with_progress("judging", lambda pair: _judged(pair[1], pair[2]), pairs, quiet=quiet)
    return {(trace.row.key, judge.name): found for (trace, _, judge), found in zip(pairs, judgements, strict=True)}


def _sample(trace: RowTrace) -> Sample | str:
    """Return what the collector would have made of the trace, or why there is nothing to judge."""
    if trace.failure:
        return f"there is no answer: {trace.failure}"
    try:
        # The collector makes the same sample of a trace in production, so that one answer has one score.
        sample = build_sample(trace.trace.data.spans, service="evaluation")
    except Exception as error:  # a trace that cannot be read is one row's failure, not the end of the run
        return f"its trace cannot be read: {error!r}"
    if trace.row.target is not None:
        sample.metadata[EXPECTED] = trace.row.target
    return sample


def _judged(sample: Sample | str, judge: Judge) -> RowJudgement:
    return RowJudgement(status="failed", error=sample) if isinstance(sample, str) else judge_sample(judge, sample)


def _with_progress(what: str, work: Callable[[_T], _R], items: Sequence[_T], *, quiet: bool) -> list[_R]:
    """Do some work on each item, in as many threads as `mlflow.genai.evaluate` takes, and show how far it is."""
    done: list[_R] = []
    # Not `at_once`: all items are known, so one that takes long need not hold up those far behind it.
    with (
        Progress(what, len(items), quiet=quiet) as progress,
        ThreadPoolExecutor(MLFLOW_GENAI_EVAL_MAX_WORKERS.get()) as pool,
    ):
        for result in pool.map(work, items):
            done.append(result)
            progress(len(done))
    return done


def _scored_row(trace: RowTrace, judges: Sequence[Judge], judgements: Judgements) -> ScoredRow:
    own = {judge.name: judgements[trace.row.key, judge.name] for judge in judges}
    return ScoredRow(
        key=trace.row.key,
        trace_id=trace.trace_id,
        question=trace.row.question,
        inputs=trace.row.inputs or {"question": trace.row.question},
        answer=trace.row.answer or "",
        target=trace.row.target,
        scores={name: found.score for name, found in own.items() if found.score is not None},
        unscored={name: found for name, found in own.items() if found.score is None},
        failure=trace.failure,
    )
