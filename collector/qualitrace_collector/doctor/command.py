"""`qualitrace doctor` reports why scores are missing: what traces lack, by source, and the outcome of each judgement.

    state.db {coverage, ledger} ─▶ Report ─▶ tables and remedies, or JSON

It reads the totals that the collector writes with each trace, so it works with and without a running server.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from qualitrace_collector.cli import config_option, load_or_exit, open_state
from qualitrace_collector.doctor.report import Gap, Outcome, Report
from qualitrace_collector.settings import CollectorConfig
from qualitrace_collector.state.coverage import Content, Source

CONTENTS: tuple[Content, ...] = ("input", "output", "tokens", "documents", "session", "retriever", "tools", "run")


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def doctor(path: Path | None, as_json: bool) -> None:
    """Show why scores are missing: what traces lack, by source, and how to fix it."""
    config = load_or_exit(path, CollectorConfig, needs=("data_dir",))
    report = Report.read(open_state(config))
    if as_json:
        click.echo(json.dumps(report.to_dict(config.mlflow.max_experiments), indent=2))
    else:
        _show(report, config, Console(soft_wrap=True))


def _show(report: Report, config: CollectorConfig, console: Console) -> None:
    if not report.outcomes:
        console.print(
            f"No trace has arrived yet. Send OTLP to http://{config.listen.otlp_http} or, over gRPC, to "
            f"{config.listen.otlp_grpc}, and keep the server running.",
            markup=False,
        )
        return
    for line in report.full(config.mlflow.max_experiments):
        console.print(line, style="yellow", markup=False, highlight=False)
    console.print(_coverage_table(report.gaps))
    for line in report.remedies():
        console.print(f"- {line}", markup=False, highlight=False)
    console.print()
    console.print(_outcome_table(report.outcomes))


def _coverage_table(gaps: Iterable[Gap]) -> Table:
    """Return a row for each source, with a line for each content, so that it fits a terminal of 80 columns."""
    title = "Share of traces that lack"
    table = Table(title=title, title_justify="left", pad_edge=False, box=SIMPLE_HEAD)
    table.add_column("service, scope, dialect", overflow="fold")
    table.add_column("content", no_wrap=True)
    table.add_column("traces", justify="right", no_wrap=True)
    table.add_column("lack", justify="right", no_wrap=True)
    by_source: dict[Source, dict[Content, Gap]] = {}
    for gap in gaps:
        by_source.setdefault(gap.source, {})[gap.content] = gap
    for source, found in by_source.items():
        shown = [found[content] for content in CONTENTS if content in found]
        columns = ([gap.content for gap in shown], [str(gap.traces) for gap in shown], [_share(gap) for gap in shown])
        table.add_row(escape("\n".join(source.key)), *("\n".join(column) for column in columns))
    return table


def _share(gap: Gap) -> str:
    """Return a share as percentage."""
    if gap.lacking in (0, gap.traces):
        return "100 %" if gap.lacking else "0 %"
    return f"{max(1, min(99, round(100 * gap.lacking / gap.traces)))} %"  # 0 and 100 are for none and all


def _outcome_table(outcomes: Iterable[Outcome]) -> Table:
    title = "What became of traces and judgements"
    table = Table("judge", "service", "outcome", "number", title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("why", overflow="fold")
    for item in sorted(outcomes, key=lambda item: (item.judge, item.service, -item.total)):
        table.add_row(item.judge or "(trace)", escape(item.service), item.outcome, str(item.total), item.meaning)
    return table
