"""The command `qualitrace calibrate`."""

import json
import sys
from pathlib import Path

import click

from qualitrace_collector.cli import check_mlflow, config_option, load_or_exit
from qualitrace_collector.masking import masked
from qualitrace_collector.process.private_files import make_private
from qualitrace_collector.process.startup import configure_logging
from qualitrace_collector.settings import CollectorConfig
from qualitrace_monitors.progress import Progress, quiet_option


@click.command()
@config_option
@click.option("--judge", required=True, metavar="NAME", help="The judge, as it is called under `judges`.")
@click.option("--label", metavar="NAME", help="What experts' assessments are called; else as the judge.")
@click.option("--judge-version", metavar="HASH", help="Of the scores; else that of the newest.")
@click.option(
    "--target-error",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.1,
    show_default=True,
    help="How often a verdict may disagree with experts.",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 1, max_open=True),
    default=0.95,
    show_default=True,
    help="Of the intervals and of the bound.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@quiet_option
def calibrate(
    path: Path | None,
    judge: str,
    label: str | None,
    judge_version: str | None,
    target_error: float,
    confidence: float,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare a judge with experts' labels in MLflow, and fit thresholds whose error is bounded.

    Stores the calibration as a run in MLflow. Exit code 1 if there is no labelled answer that the judge scored.
    """
    config = load_or_exit(path, CollectorConfig, needs=("data_dir", "mlflow"))
    configure_logging()
    check_mlflow(config)
    make_private(config.data_dir)
    from qualitrace_collector.process.startup import apply_mlflow_settings

    apply_mlflow_settings(config.mlflow.token)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    from qualitrace_collector.mlflow_store.store import reason
    from qualitrace_monitors.calibrate.agreement import measure
    from qualitrace_monitors.calibrate.calibration import Calibration, store
    from qualitrace_monitors.calibrate.labels import collect
    from qualitrace_monitors.calibrate.thresholds import fit

    place = f"MLflow at {masked(config.tracking_uri)}"
    client = MlflowClient(config.tracking_uri)
    try:
        with Progress("reading labels", quiet=quiet) as progress:
            labelled = collect(client, judge, label or judge, judge_version, progress)
    except (MlflowException, SQLAlchemyError) as error:
        raise click.ClickException(f"{place}: {reason(error)}") from error
    pairs = list(labelled.pairs.values())
    calibration = Calibration(
        judge=judge,
        label=label or judge,
        labelled=labelled,
        agreement=measure(pairs, confidence),
        thresholds=fit(pairs, target_error, confidence),
    )
    if pairs or labelled.left_out or as_json:
        click.echo(json.dumps(calibration.to_dict()) if as_json else calibration.to_text())
    if not pairs:
        click.echo(
            f"{place}: no answer has both a score of {judge!r} and an expert's {label or judge!r}: label traces in "
            "MLflow's UI by an assessment of that name, or by qualitrace.feedback(..., source='expert'); if that is "
            "not where the server stores, name its configuration with --config",
            err=True,
        )
        sys.exit(1)
    click.echo(f"  stored in MLflow as run {store(client, calibration)}", err=as_json)
