"""The command `qualitrace evaluate`."""

import os
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click
from rich.console import Console

from qualitrace_collector.cli import load_or_exit
from qualitrace_collector.config.values import check_credentials
from qualitrace_collector.masking import masked
from qualitrace_monitors.config import Config
from qualitrace_monitors.evaluation.tables import missing_lines, show
from qualitrace_monitors.progress import quiet_option

if TYPE_CHECKING:  # MLflow, which these import, takes seconds and reads the settings that the command makes first
    from qualitrace_monitors.evaluation.result import Evaluation

# Exit codes: a whole interval under its threshold; data or settings that cannot be used, or rows that are missing.
BELOW, UNUSABLE = 1, 2


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
        click.echo(junit(evaluation), file=junit_file)


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
