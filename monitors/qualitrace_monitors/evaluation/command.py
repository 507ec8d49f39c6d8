"""The command `qualitrace evaluate`, and the tables that it prints."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import mode
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from qualitrace_collector.cli import load_or_exit
from qualitrace_collector.config.values import check_credentials
from qualitrace_collector.masking import masked
from qualitrace_monitors.config import Config
from qualitrace_monitors.progress import quiet_option

if TYPE_CHECKING:  # MLflow, which these import, takes seconds and reads the settings that the command makes first
    from qualitrace_monitors.estimate.interval import Interval
    from qualitrace_monitors.evaluation.result import Evaluation, Gate, ScoredRow
    from qualitrace_monitors.evaluation.summary import MetricSummary

# Exit codes: a whole interval under its threshold; data or settings that cannot be used, or rows that are missing.
BELOW, UNUSABLE = 1, 2

WORST = 5
SHOWN_KEYS = 10  # missing rows whose keys are shown; `qualitrace/scores.json` names all
_WORDS = {
    "below": "below: the whole interval is under the threshold",
    "undecided": "not shown to be below: the interval holds the threshold; more rows would decide",
    "incomplete": "not passed: rows are missing",
    "met": "met: the whole interval is at or over the threshold",
}


def _pairs(_context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    if wrong := [value for value in values if "=" not in value]:
        raise click.BadParameter(f"must be {parameter.metavar} (got {wrong[0]!r})")
    return {name: text for name, _, text in (value.partition("=") for value in values)}


def _thresholds(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, float]:
    try:
        return {name: float(text) for name, text in _pairs(context, parameter, values).items()}
    except ValueError as error:
        raise click.BadParameter(f"must be METRIC=NUMBER: {error}") from None


_FILE = click.File("w", encoding="utf-8", lazy=False)  # a path that cannot be written fails before the work


@click.command("evaluate")
@click.option("--data", type=click.Path(path_type=Path), help="CSV, JSONL, JSON or Parquet file.")
@click.option("--dataset", help="Name of an MLflow evaluation data set, instead of --data.")
@click.option("--traces", metavar="FILTER", help="MLflow filter of recorded traces, instead of --data.")
@click.option("--from-experiment", help="Where --traces looks; else in --experiment.")
@click.option("--model-type", help="question-answering or text: the default metrics for the type.")
@click.option("--targets", metavar="COLUMN", help="Column with the expected answers.")
@click.option("--predictions", metavar="COLUMN", help="Column with the generated answers.")
@click.option("--predict", metavar="URL", help="HTTP endpoint: POST {question, inputs …} -> {answer, context}.")
@click.option("--col", "col_mapping", multiple=True, metavar="INPUT=COLUMN", callback=_pairs, help="As col_mapping.")
@click.option("--metric", "metrics", multiple=True, help="A further metric; any number of them.")
@click.option("--config", "path", type=click.Path(dir_okay=False, path_type=Path), help="Its judges score, too.")
@click.option("--model", help="MLflow model URI for answer correctness, such as openai:/gpt-5-mini.")
@click.option("--base-url", help="An OpenAI-compatible endpoint for --model.")
@click.option("--temperature", type=float, default=0.0, show_default=True, help="Of --model.")
@click.option("--baseline", metavar="RUN", help="Id of an earlier run over the same rows to compare with.")
@click.option("--fail-under", multiple=True, metavar="METRIC=NUMBER", callback=_thresholds, help="Gate for CI.")
@click.option("--confidence", type=click.FloatRange(0.5, 1, max_open=True), default=0.95, show_default=True)
@click.option("--tracking-uri", help="MLflow's; else MLFLOW_TRACKING_URI, else the configuration's.")
@click.option("--experiment", default="evaluation", show_default=True, help="MLflow experiment of the run.")
@click.option("--run-name", help="Name of the run.")
@click.option("--json", "json_file", type=_FILE, help="Write the result as JSON; - for standard output.")
@click.option("--junit", "junit_file", type=_FILE, help="Write metrics and gates as test cases for CI (XML).")
@quiet_option
@click.option("--save-worst", metavar="NAME", help="Add the rows that failed to this MLflow evaluation data set.")
def evaluate_data(
    path: Path | None,
    save_worst: str | None,
    col_mapping: dict[str, str],
    json_file: TextIO | None,
    junit_file: TextIO | None,
    **options: Any,
) -> None:
    """Score a data set with the judges of production, as an MLflow evaluation run.

    \b
    Exit code 1 when a whole interval lies under its --fail-under threshold;
    2 when data or settings cannot be used, or rows are missing in MLflow; else 0.
    """
    from qualitrace_collector.process.private_files import make_private
    from qualitrace_collector.process.startup import apply_mlflow_settings

    stop = partial(_stop, junit_file)
    config = load_or_exit(path, Config, UNUSABLE)
    apply_mlflow_settings(config.mlflow.token)  # before the imports of MLflow below
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    from qualitrace_collector.mlflow_store.store import StoreUnavailable
    from qualitrace_monitors.evaluation.patience import why, without_tracebacks
    from qualitrace_monitors.evaluation.run import DataError, evaluate

    make_private(config.data_dir)
    options["tracking_uri"] = options["tracking_uri"] or os.environ.get("MLFLOW_TRACKING_URI") or config.tracking_uri
    options["metrics"] = (*(config.judges if path else ()), *options["metrics"])
    broken = (StoreUnavailable, MlflowException, SQLAlchemyError)
    place = masked(options["tracking_uri"])
    try:
        check_credentials(options["tracking_uri"])
    except ValueError as error:
        stop(f"MLflow at {place}: {error}")
    try:
        with without_tracebacks():
            data = _data(options)
        evaluation = evaluate(data, evaluator_config={"col_mapping": col_mapping}, **options)
    except DataError as error:
        stop(_with_options(str(error)))
    except broken as error:
        stop(f"MLflow at {place}: {why(error)}; no row was scored")
    on_stdout = any(file is not None and file.name == "<stdout>" for file in (json_file, junit_file))
    show(evaluation, Console(stderr=on_stdout))
    if save_worst is not None and evaluation.worst_rows(1):
        try:
            evaluation.save_worst_rows(save_worst)
            click.echo(f"worst rows added to the data set {save_worst!r}", err=on_stdout)
        except broken as error:
            evaluation.unlogged[f"its worst rows in the data set {save_worst!r}"] = why(error)
    _write_reports(evaluation, json_file, junit_file)
    _exit(evaluation)


def _exit(evaluation: "Evaluation") -> NoReturn:
    if not evaluation.is_complete:
        _stop(None, *missing_lines(evaluation))
    if evaluation.passed and (unscored := evaluation.unscored_gates):
        _stop(None, f"--fail-under {', '.join(unscored)}: no row has a score")
    sys.exit(0 if evaluation.passed else BELOW)


def _write_reports(evaluation: "Evaluation", json_file: TextIO | None, junit_file: TextIO | None) -> None:
    from qualitrace_monitors.evaluation.report import as_json, junit

    if json_file is not None:
        click.echo(as_json(evaluation), file=json_file)
    if junit_file is not None:
        click.echo(junit(evaluation, gate_line), file=junit_file)


def _stop(junit_file: TextIO | None, *lines: str) -> NoReturn:
    """Say why there is no result, in CI's report too, and exit."""
    for line in lines:
        click.echo(f"qualitrace evaluate: {line}", err=True)
    if junit_file is not None:
        from qualitrace_monitors.evaluation.report import junit_error

        click.echo(junit_error(lines), file=junit_file)
    sys.exit(UNUSABLE)


def _with_options(text: str) -> str:
    """Name the command's options where a message names arguments of `evaluate`."""
    options = {parameter.name: parameter.opts[0] for parameter in evaluate_data.params}
    return re.sub(r"`(\w+)`", lambda found: options.get(found[1], found[0]), text)


def _data(options: dict[str, Any]) -> Any:
    """Take the options that say where the data is out of `options`, and return the data."""
    import mlflow

    from qualitrace_collector.mlflow_store.store import TraceStore
    from qualitrace_monitors.evaluation.dataset import DataError, find_dataset, find_traces
    from qualitrace_monitors.evaluation.patience import Patience

    path, dataset, found, place = (options.pop(name) for name in ("data", "dataset", "traces", "from_experiment"))
    if sum(source is not None for source in (path, dataset, found)) != 1:
        raise DataError("give one of --data, --dataset and --traces")
    mlflow.set_tracking_uri(options["tracking_uri"])
    if path is not None:
        return str(path)
    experiment = place or options["experiment"]
    patience = Patience(TraceStore(options["tracking_uri"], "", experiment))
    return patience.first(lambda: find_traces(experiment, found) if dataset is None else find_dataset(dataset))


def show(evaluation: "Evaluation", console: Console) -> None:
    """Print the summaries, the comparison, the gate and the worst rows."""
    console.print(_metrics_table(evaluation))
    for gap in _gaps(evaluation):
        console.print(gap, highlight=False, markup=False)
    for line in missing_lines(evaluation):
        console.print(line, style="red", markup=False)
    if failures := evaluation.failures:
        console.print(f"{len(failures)} rows have no answer: {mode(failures)}", style="red", markup=False)
    if evaluation.comparisons:
        console.print(_comparison_table(evaluation))
    for gate in evaluation.gates:
        style = "red" if gate.verdict in ("below", "incomplete") else None
        console.print(gate_line(gate), style=style, highlight=False)
    if worst := evaluation.worst_rows(WORST):
        console.print(_worst_table(worst))
    spent = sum(summary.tokens for summary in evaluation.metrics.values())
    if spent:
        cost = sum(summary.cost_usd for summary in evaluation.metrics.values())
        console.print(f"models took {spent} tokens, {cost:.4f} USD where the price is known", highlight=False)
    console.print(f"run {evaluation.run_id} in experiment {evaluation.experiment!r}", highlight=False)


def gate_line(gate: "Gate") -> str:
    """Return one condition of the gate with what the interval says of it."""
    name = gate.metric if gate.quantity == "mean" else f"{gate.metric}.pass_rate"
    found = f"{_number(gate.point)} ({_interval(gate.interval)})"
    unknown = gate.point is None and not gate.missing
    words = "nothing is known: no row was scored" if unknown else _WORDS[gate.verdict]
    return f"fail-under {name}={gate.threshold:g}: {found}: {words}"


def _metrics_table(evaluation: "Evaluation") -> Table:
    title = f"{len(evaluation.rows)} rows, intervals at {evaluation.confidence:.0%}"
    table = _table(title, "metric", "mean", "pass rate", "unsure", "scored", no_wrap=True)
    for summary in evaluation.metrics.values():
        tier = "" if summary.tier == "local" else f" ({summary.tier})"
        table.add_row(f"{summary.metric}{tier}", *_cells(summary))
    return table


def _table(title: str, name: str, *numbers: str, no_wrap: bool = False) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD)
    table.add_column(name, no_wrap=no_wrap)
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=no_wrap)
    return table


def _cells(summary: "MetricSummary") -> list[str]:
    scored = str(summary.scored) if summary.scored == summary.read else f"{summary.scored} of {summary.read}"
    if not summary.scored:
        return ["-", "-", "-", scored]
    mean = f"{_number(summary.mean)} ({_interval(summary.mean_interval)})"
    pass_rate = f"{_number(summary.pass_rate)} ({_interval(summary.pass_rate_interval)})"
    return [mean, pass_rate, f"{summary.unsure_share:.0%}", scored]


def _gaps(evaluation: "Evaluation") -> Iterator[str]:
    """Yield a line for each metric that did not score all rows: how many, and the most frequent reason."""
    for summary in evaluation.metrics.values():
        counts = {"not applicable": summary.not_applicable, "failed": summary.failed, "missing": summary.missing}
        if lacking := ", ".join(f"{count} {word}" for word, count in counts.items() if count):
            yield f"{summary.metric}: {lacking}" + (f": {summary.reason}" if summary.reason else "")


def missing_lines(evaluation: "Evaluation") -> Iterator[str]:
    """Yield which rows have no score in MLflow, metrics of the same rows together, and what else the run lacks."""
    metrics_of: dict[tuple[str, ...], list[str]] = {}
    for metric, keys in evaluation.missing.items():
        metrics_of.setdefault(tuple(keys), []).append(metric)
    for keys, metrics in metrics_of.items():
        named = ", ".join(keys[:SHOWN_KEYS]) + (f" and {len(keys) - SHOWN_KEYS} more" if keys[SHOWN_KEYS:] else "")
        why = next(row.missing[metrics[0]] for row in evaluation.rows if row.key == keys[0])
        rows = f"{len(keys)} of {len(evaluation.rows)} rows are missing in MLflow ({named})"
        yield f"{', '.join(metrics)}: {rows}: {why}"
    if evaluation.unlogged:
        reasons = "; ".join(dict.fromkeys(evaluation.unlogged.values()))
        yield f"run {evaluation.run_id} lacks {', '.join(evaluation.unlogged)}: {reasons}"


def _comparison_table(evaluation: "Evaluation") -> Table:
    interval = f"{evaluation.confidence:.0%} interval"
    table = _table(f"against run {evaluation.baseline}", "metric", "pairs", "difference", interval, "p")
    for comparison in evaluation.comparisons:
        if comparison.difference is None:
            table.add_row(comparison.metric, str(comparison.pairs), comparison.reason, "", "")
            continue
        lower, upper = comparison.interval
        difference, p_value = f"{comparison.difference:+.2f}", _p_value(comparison.p_value)
        table.add_row(comparison.metric, str(comparison.pairs), difference, f"{lower:+.2f} – {upper:+.2f}", p_value)
    return table


def _worst_table(rows: "Sequence[ScoredRow]") -> Table:
    table = Table(title="worst rows", box=SIMPLE_HEAD)
    for name in ("question", "answer", "failed", "why"):
        table.add_column(name, overflow="fold", no_wrap=name == "failed")
    for row in rows:
        metric, score = row.worst
        table.add_row(_short(row.question), _short(row.answer), f"{metric} {score.value:.2f}", _short(score.rationale))
    return table


def _p_value(value: float | None) -> str:
    """Write a p-value as journals do: three digits, and no 0, which no test finds."""
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _interval(interval: "Interval") -> str:
    return f"{interval[0]:.2f}–{interval[1]:.2f}"


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:119]}…"
