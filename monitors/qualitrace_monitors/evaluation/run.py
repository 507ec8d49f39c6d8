"""`evaluate`: scores a data set with the judges of production, as an MLflow evaluation run."""

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import mlflow
from mlflow.entities import SpanType, Trace, TraceState
from mlflow.genai import evaluate as run_evaluation

from qualitrace_collector.config.quality import JudgeConfig
from qualitrace_collector.convert.sample import question_and_answer
from qualitrace_collector.experiments import find_or_create
from qualitrace_collector.store import mlflow_store
from qualitrace_monitors.evaluation.metrics import judges_of
from qualitrace_monitors.evaluation.predict import Endpoint, Predict, record_context, traced
from qualitrace_monitors.evaluation.record import compare_with, earlier_scores, log
from qualitrace_monitors.evaluation.result import ROW_TAG, Evaluation, ScoredRow
from qualitrace_monitors.evaluation.rows import DataError, Row, read_rows
from qualitrace_monitors.evaluation.scoring import TARGET, Results, scorers_of
from qualitrace_monitors.evaluation.summary import Gate, MetricSummary, Quantity, summarize
from qualitrace_monitors.judges import Judge


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
        data: path of a CSV, JSONL or Parquet file, pandas frame, list of mappings, MLflow evaluation data set, or
            list of MLflow traces.
        model_type: `question-answering` or `text`: the default metrics for the type.
        targets: column with the expected answers.
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
        tracking_uri: MLflow's, else as MLflow is configured. A new experiment in a SQLite file has its artifacts
            beside it, in `artifacts`.
        experiment: its name.
        run_name: MLflow makes one up if there is none.

    Raises:
        DataError: the data, a metric, the baseline or the gate cannot be used; the message says why.
    """
    if tracking_uri is not None:
        mlflow.set_tracking_uri(tracking_uri)
    mapping = _col_mapping(evaluator_config)
    rows = read_rows(data, targets, predictions, mapping)
    judges = judges_of(model_type, metrics, any(row.target is not None for row in rows), model, base_url, temperature)
    earlier = None if baseline is None else earlier_scores(baseline)
    _check_gates(fail_under or {}, judges)
    find_or_create(mlflow_store(mlflow.get_tracking_uri()), experiment)
    mlflow.set_experiment(experiment)
    results: Results = {}
    with _mlflow_for_evaluation(), mlflow.start_run(run_name=run_name) as run:
        scored = _score(rows, judges, predict, results)
        evaluation = Evaluation(
            run_id=run.info.run_id,
            experiment=experiment,
            confidence=confidence,
            rows=scored,
            metrics={judge.name: _summary(judge, scored, results, confidence) for judge in judges},
            baseline=baseline,
        )
        if earlier is not None:
            evaluation.comparisons = compare_with(evaluation, earlier)
        evaluation.gates = _gates(evaluation, fail_under or {})
        log(evaluation, {"model_type": model_type, "data": data if isinstance(data, str) else type(data).__name__})
    return evaluation


def _summary(judge: Judge, rows: Sequence[ScoredRow], results: Results, confidence: float) -> MetricSummary:
    return summarize(
        judge, [results[key] for row in rows if (key := (row.trace_id, judge.name)) in results], confidence
    )


def _col_mapping(evaluator_config: Mapping[str, Any] | None) -> Mapping[str, str]:
    config = dict(evaluator_config or {})
    mapping = config.pop("col_mapping", {})
    if config:
        raise DataError(f"evaluator_config: unknown key {min(config)!r}; known: col_mapping")
    return mapping


@contextmanager
def _mlflow_for_evaluation() -> Generator[None]:
    """Have MLflow write traces at once, and call no predict function only to look at it."""
    wanted = {
        "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
        "MLFLOW_GENAI_EVAL_SKIP_TRACE_VALIDATION": "true",
        "MLFLOW_GENAI_EVAL_ENABLE_SCORER_TRACING": "false",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _score(
    rows: Sequence[Row], judges: Sequence[Judge], predict: Predict | str | None, results: Results
) -> list[ScoredRow]:
    """Run MLflow's evaluation; return the rows with their scores."""
    unanswered = [row for row in rows if row.answer is None]
    if predict is None and unanswered:
        raise DataError(
            f"{len(unanswered)} of {len(rows)} rows have no answer: name their column with predictions, "
            "or give predict, which answers the questions"
        )
    if predict is None:
        data = [_evaluation_row(row) | {"trace": row.trace or _recorded(row)} for row in rows]
        answer = None
    else:
        data = [_evaluation_row(row) | {"inputs": {"question": row.question}} for row in rows]
        answer = traced(Endpoint(predict) if isinstance(predict, str) else predict)
    result = run_evaluation(data=data, scorers=scorers_of(judges, results), predict_fn=answer)
    if result.result_df is None:
        raise DataError("MLflow gives no results back: see its log above")
    by_key = {row.key: row for row in rows}
    traces = [Trace.from_json(text) for text in result.result_df["trace"]]
    scored = [
        _scored_row(by_key[trace.info.tags[ROW_TAG]], trace, judges, results, predict is not None) for trace in traces
    ]
    if scored and all(row.failure for row in scored):
        raise DataError(f"predict: no question was answered: {scored[0].failure}")
    return scored


def _scored_row(row: Row, trace: Trace, judges: Sequence[Judge], results: Results, predicted: bool) -> ScoredRow:
    trace_id = trace.info.trace_id
    question, answer = question_and_answer(trace.data.spans)
    found = ((judge.name, results.get((trace_id, judge.name))) for judge in judges)
    scores = {name: result.score for name, result in found if result is not None and result.score is not None}
    failed = predicted and trace.info.state == TraceState.ERROR
    return ScoredRow(
        key=row.key,
        trace_id=trace_id,
        question=row.question or question,
        answer=answer,
        target=row.target,
        scores=scores,
        failure=trace.data.spans[0].status.description or "its prediction failed" if failed else "",
    )


def _evaluation_row(row: Row) -> dict[str, Any]:
    return {"expectations": {} if row.target is None else {TARGET: row.target}, "tags": {ROW_TAG: row.key}}


def _recorded(row: Row) -> Any:
    """Write a row's question, context and answer as the trace of an application."""
    with mlflow.start_span("answer", span_type=SpanType.CHAIN) as root:
        root.set_inputs({"question": row.question})
        if row.context:
            record_context(row.question, list(row.context))
        root.set_outputs(row.answer)
    return mlflow.get_trace(root.trace_id)


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
        point, interval = evaluation.metrics[metric].quantity(quantity)
        gates.append(Gate(metric=metric, quantity=quantity, threshold=threshold, point=point, interval=interval))
    return gates
