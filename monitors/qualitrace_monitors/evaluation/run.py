"""`evaluate`: scores a data set with the judges of production, as an MLflow evaluation run."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import mlflow
import pandas as pd
from mlflow.models.evaluation.utils.trace import configure_autologging_for_evaluation

from qualitrace_monitors.evaluation.dataset import DataError, Row, read_rows
from qualitrace_monitors.evaluation.metrics import judges_of
from qualitrace_monitors.evaluation.patience import quietly, why
from qualitrace_monitors.evaluation.predict import Predict, answerer
from qualitrace_monitors.evaluation.record import compare_with, earlier_scores, log
from qualitrace_monitors.evaluation.recorder import Lost, Recorder
from qualitrace_monitors.evaluation.result import Evaluation, ScoredRow
from qualitrace_monitors.evaluation.scoring import Results, at_once, judge_all
from qualitrace_monitors.evaluation.summary import Gate, MetricSummary, Quantity, summarize
from qualitrace_monitors.evaluation.traces import RowTrace, predicted, recorded
from qualitrace_monitors.evaluation.tracking import tracking
from qualitrace_monitors.judges import Judge
from qualitrace_monitors.judges.settings import JudgeConfig


def evaluate(
    data: Any,
    *,
    model_type: str | None = None,
    targets: str | None = None,
    predictions: str | None = None,
    evaluator_config: Mapping[str, Any] | None = None,
    metrics: Sequence[str | Mapping[str, Any] | JudgeConfig] = (),
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

    Returns:
        What was found. No row is lost silently: see `Evaluation.is_complete` and `Evaluation.missing`.

    Raises:
        DataError: the data, a metric, the baseline or the gate cannot be used; the message says why.
        StoreUnavailable, MlflowException: MLflow cannot be used. Where it is busy or away later on, it is waited for.
    """
    with tracking(tracking_uri), quietly():
        rows = read_rows(data, targets, predictions, _col_mapping(evaluator_config))
        judges = judges_of(
            model_type, metrics, any(row.target is not None for row in rows), model, base_url, temperature
        )
        earlier = None if baseline is None else earlier_scores(baseline)
        _check_gates(fail_under or {}, judges)
        _check_answers(rows, predict)
        recorder = Recorder(mlflow.get_tracking_uri(), experiment)
        if tracking_uri is None:
            mlflow.set_experiment(experiment_id=recorder.experiment_id)
        recorder.start(run_name, _frame(rows))
        try:
            evaluation = _evaluate(rows, judges, predict, recorder, experiment, confidence)
        except BaseException:
            with suppress(Exception):
                recorder.end("FAILED")
            raise
        evaluation.baseline = baseline
        if earlier is not None:
            evaluation.comparisons = compare_with(evaluation, earlier)
        evaluation.gates = _gates(evaluation, fail_under or {})
        about = {"model_type": model_type, "data": data if isinstance(data, str) else type(data).__name__}
        log(evaluation, about, recorder)
        _end(recorder, evaluation)
    return evaluation


def _evaluate(
    rows: Sequence[Row],
    judges: Sequence[Judge],
    predict: Predict | str | None,
    recorder: Recorder,
    experiment: str,
    confidence: float,
) -> Evaluation:
    traces = _traces(rows, predict, recorder.experiment_id)
    results = judge_all(traces, judges)
    lost = recorder.save(traces, judges, results)
    return Evaluation(
        run_id=recorder.run_id,
        tracking_uri=recorder.tracking_uri,
        experiment=experiment,
        confidence=confidence,
        rows=[_scored_row(trace, judges, results, lost) for trace in traces],
        metrics={judge.name: _summary(judge, rows, results, lost, confidence) for judge in judges},
    )


def _traces(rows: Sequence[Row], predict: Predict | str | None, experiment_id: str) -> list[RowTrace]:
    """Make the trace of each row, with the answers that it lacks."""
    if predict is None:
        return [recorded(row, experiment_id) for row in rows]
    answer = answerer(predict)
    with configure_autologging_for_evaluation(enable_tracing=True):  # what the application calls is traced
        traces = at_once("answering", lambda row: predicted(row, answer, experiment_id), rows)
    if all(trace.failure for trace in traces):
        raise DataError(f"predict: no question was answered: {traces[0].failure}")
    return traces


def _scored_row(trace: RowTrace, judges: Sequence[Judge], results: Results, lost: Lost) -> ScoredRow:
    key = trace.row.key
    missing = {judge.name: lost[key, judge.name] for judge in judges if (key, judge.name) in lost}
    kept = {judge.name: results[key, judge.name] for judge in judges if judge.name not in missing}
    return ScoredRow(
        key=key,
        trace_id=trace.trace_id,
        question=trace.question,
        answer=trace.answer,
        target=trace.row.target,
        scores={name: result.score for name, result in kept.items() if result.score is not None},
        unscored={name: (result.status, result.error) for name, result in kept.items() if result.score is None},
        missing=missing,
        failure=trace.failure,
    )


def _summary(judge: Judge, rows: Sequence[Row], results: Results, lost: Lost, confidence: float) -> MetricSummary:
    pairs = [(row.key, judge.name) for row in rows]
    kept = [results[pair] for pair in pairs if pair not in lost]
    return summarize(judge, kept, confidence, missing=len(pairs) - len(kept))


def _end(recorder: Recorder, evaluation: Evaluation) -> None:
    try:
        recorder.end()
    except Exception as error:
        evaluation.unlogged["its end"] = why(error)


def _frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the data set as the run names it: the digest of the rows shows whether two runs had the same."""
    return pd.DataFrame([{"question": row.question, "answer": row.answer, "expected": row.target} for row in rows])


def _check_answers(rows: Sequence[Row], predict: Predict | str | None) -> None:
    unanswered = sum(row.answer is None for row in rows)
    if predict is None and unanswered:
        raise DataError(
            f"{unanswered} of {len(rows)} rows have no answer: name their column with predictions, "
            "or give predict, which answers the questions"
        )


def _col_mapping(evaluator_config: Mapping[str, Any] | None) -> Mapping[str, str]:
    config = dict(evaluator_config or {})
    mapping = config.pop("col_mapping", {})
    if config:
        raise DataError(f"evaluator_config: unknown key {min(config)!r}; known: col_mapping")
    return mapping


def _check_gates(fail_under: Mapping[str, float], judges: Sequence[Judge]) -> None:
    names = [judge.name for judge in judges]
    for key, threshold in fail_under.items():
        metric, _, quantity = key.partition(".")
        if metric not in names or quantity not in ("", "mean", "pass_rate"):
            raise DataError(
                f"fail_under: {key!r} is no metric of this run; there are {', '.join(names)}, each also with .pass_rate"
            )
        if not 0 <= threshold <= 1:
            raise DataError(f"fail_under: {key} must be from 0 to 1, as scores are (got {threshold:g})")


def _gates(evaluation: Evaluation, fail_under: Mapping[str, float]) -> list[Gate]:
    gates: list[Gate] = []
    for key, threshold in fail_under.items():
        metric, _, named = key.partition(".")
        quantity: Quantity = "pass_rate" if named == "pass_rate" else "mean"
        summary = evaluation.metrics[metric]
        point, interval = summary.quantity(quantity)
        gates.append(
            Gate(
                metric=metric,
                quantity=quantity,
                threshold=threshold,
                point=point,
                interval=interval,
                missing=summary.missing,
            )
        )
    return gates
