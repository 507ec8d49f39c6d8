"""The command `qualitrace judge`."""

import sys
from typing import TextIO

import click
from pydantic import ValidationError

from qualitrace_collector.config.load import line_of, mistakes_of
from qualitrace_monitors.judges.settings import METRICS, JudgeConfig
from qualitrace_monitors.progress import Progress, quiet_option


@click.command("judge")
@click.option("--metric", type=click.Choice(METRICS), help="What to judge; left out with --instructions or --scorer.")
@click.option("--data", required=True, type=click.File(encoding="utf-8"), help="JSONL: input, context, output, label.")
@click.option("--output", type=click.File("w", encoding="utf-8"), default="-", help="JSONL of scores; else stdout.")
@click.option("--model", help="MLflow model URI such as openai:/gpt-5-mini; else the local judge.")
@click.option("--scorer", help="A scorer of MLflow's, such as mlflow.Safety, in place of a judge of ours.")
@click.option("--base-url", help="An OpenAI-compatible endpoint; the key is read from the provider's variable.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="Pass from this score on.")
@click.option("--name", help="Name of a judge of your own.")
@click.option("--instructions", help="Its criterion, with {{ inputs }}, {{ outputs }} or {{ context }}.")
@quiet_option
def judge_file(data: TextIO, output: TextIO, quiet: bool, **settings: str | float | None) -> None:
    """Score a JSONL file: one line out for each line in; with labels, how good the judge is.

    The summary goes to stderr. Exit code 1 if no row could be scored.
    """
    from qualitrace_monitors.judges.build import build_judge
    from qualitrace_monitors.rows.score import JudgedLine, judge_lines, summary

    chosen = {key: value for key, value in settings.items() if value is not None}
    if not {"metric", "scorer", "instructions"} & chosen.keys():
        raise click.UsageError("give --metric, --scorer, or --instructions with --model")
    chosen.setdefault("name", settings["metric"] or "custom")
    try:
        config = JudgeConfig.model_validate(chosen)
    except ValidationError as error:
        raise click.UsageError("; ".join(map(line_of, mistakes_of(error)))) from None
    judge = build_judge(config)
    judged: list[JudgedLine] = []
    with Progress("judging", quiet=quiet or output.isatty()) as progress:  # else the lines show how far it is
        for line in judge_lines(judge, config.kind, data):
            click.echo(line.to_json(judge), file=output)
            if line.judgement.status == "failed":
                click.echo(line.error, err=True)
            judged.append(line)
            progress(len(judged))
    click.echo(f"{judge.name} ({judge.source_id}): {summary(judge, judged)}", err=True)
    sys.exit(not any(line.judgement.score is not None for line in judged))
