"""`qualitrace doctor`: why scores are missing — what traces lack, by source, and what became of the judgements.

    state.db {coverage, ledger} ─▶ Report ─▶ tables and mends, or JSON

It reads the totals that the collector writes with each trace, so it works beside a running server and without one.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from qualitrace_collector.cli import config_option, load_or_exit, open_state
from qualitrace_collector.doctor.remedies import mend
from qualitrace_collector.settings import CollectorConfig
from qualitrace_collector.state import CoverageTotals, Database, Ledger
from qualitrace_collector.state.coverage import Content, Source

CONTENTS: tuple[Content, ...] = ("input", "output", "tokens", "documents", "session")

PASSAGE_METRICS = frozenset({"groundedness", "faithfulness", "retrieval_relevance"})
NO_RETRIEVER = (
    "no span fetches any, and no prompt marks them: mark the function that does, for example with "
    '@qualitrace.trace(kind="retriever")'
)

_OUTCOMES = {
    "not_genai": "no span of these was recognised as one of a GenAI library: is it instrumented?",
    "dead_lettered": "MLflow refused these: 'qualitrace journal list' tells why",
    "queued": "wait for 'qualitrace serve' or 'qualitrace monitor'",
    "sampled_out": "not in the judge's sample: raise its rate or sampling.rate",
    "not_applicable": "lack what the judge needs, an answer or documents: see the table above",
    "budget_skipped": "the budget was spent: raise it, or lower the rate",
    "failed": "the judge failed: qualitrace_judge_errors_total and the server's log tell why",
    "expired": "waited for longer than the server keeps them: is the judge still configured, and fast enough?",
}
"""What each outcome but the good ones means to someone who misses a score."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Of a source's traces that should have some content, how many lack it, and what mends that."""

    source: Source
    content: Content
    traces: int
    lacking: int

    @property
    def mend(self) -> str:
        """What to set in the application."""
        return mend(self.source, self.content)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many traces of a service (`judge` empty), or judgements of a judge on it, ended so."""

    judge: str
    service: str
    outcome: str
    total: int

    @property
    def meaning(self) -> str:
        """What it means to someone who misses a score; empty for the good outcomes."""
        return _OUTCOMES.get(self.outcome, "")


@dataclass(frozen=True, slots=True)
class Report:
    """All that the state database tells, the most frequent source first."""

    gaps: Sequence[Gap]
    outcomes: Sequence[Outcome]

    @classmethod
    def read(cls, database: Database) -> "Report":
        """Read the totals of now."""
        return cls(
            [_gap(row) for row in CoverageTotals(database).totals()],
            [Outcome(**dict(row)) for row in Ledger(database).totals()],
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "coverage": [
                gap.source._asdict()
                | {"content": gap.content, "traces": gap.traces, "lacking": gap.lacking}
                | ({"mend": gap.mend} if gap.lacking else {})
                for gap in self.gaps
            ],
            "outcomes": [
                {"judge": item.judge, "service": item.service, "outcome": item.outcome, "total": item.total}
                | ({"meaning": item.meaning} if item.meaning else {})
                for item in self.outcomes
            ],
        }


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def doctor(path: Path | None, as_json: bool) -> None:
    """Tell why scores are missing: what traces lack, by source, and how to mend it."""
    config = load_or_exit(path, CollectorConfig)
    report = Report.read(open_state(config))
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2))
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
    console.print(_coverage_table(report.gaps))
    for service in _without_retriever(report):
        console.print(f"- documents ({service}): {NO_RETRIEVER}", markup=False, highlight=False)
    for (source, advice), contents in _mends(report.gaps).items():
        what = f"{', '.join(contents)} ({source.service}, {source.scope or 'no scope'})"
        console.print(f"- {what}: {advice}", markup=False, highlight=False)
    console.print()
    console.print(_outcome_table(report.outcomes))


def _without_retriever(report: Report) -> list[str]:
    """Return the services whose judges of passages had nothing to judge, and that have no span which fetches any."""
    fetching = {gap.source.service for gap in report.gaps if gap.content == "documents"}
    idle = {o.service for o in report.outcomes if o.judge in PASSAGE_METRICS and o.outcome == "not_applicable"}
    return sorted(idle - fetching)


def _mends(gaps: Iterable[Gap]) -> dict[tuple[Source, str], list[Content]]:
    """Return what each mend of a source brings: often one setting does for input and output."""
    found: dict[tuple[Source, str], list[Content]] = {}
    for gap in gaps:
        if gap.lacking:
            found.setdefault((gap.source, gap.mend), []).append(gap.content)
    return found


def _coverage_table(gaps: Iterable[Gap]) -> Table:
    table = Table(title="Share of traces that lack", title_justify="left", pad_edge=False, box=SIMPLE_HEAD)
    table.add_column("service, scope, dialect", overflow="fold")
    for name in ("traces", *CONTENTS):
        table.add_column(name, justify="right", no_wrap=True)
    by_source: dict[Source, dict[Content, Gap]] = {}
    for gap in gaps:
        by_source.setdefault(gap.source, {})[gap.content] = gap
    for source, found in by_source.items():
        shares = [_share(found.get(content)) for content in CONTENTS]
        table.add_row(escape("\n".join(source)), str(max(gap.traces for gap in found.values())), *shares)
    return table


def _share(gap: Gap | None) -> str:
    """Write a share as percentage; a dash where the content does not apply, no zero for what is merely rare."""
    if gap is None:
        return "–"
    if not gap.lacking:
        return "0 %"
    return f"{max(1, min(99, round(100 * gap.lacking / gap.traces)))} %" if gap.lacking < gap.traces else "100 %"


def _outcome_table(outcomes: Iterable[Outcome]) -> Table:
    title = "What became of traces and judgements"
    table = Table("judge", "service", "outcome", "number", title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("why", overflow="fold")
    for item in sorted(outcomes, key=lambda item: (item.judge, item.service, -item.total)):
        table.add_row(item.judge or "(trace)", escape(item.service), item.outcome, str(item.total), item.meaning)
    return table


def _gap(row: sqlite3.Row) -> Gap:
    return Gap(Source(row["service"], row["scope"], row["dialect"]), row["content"], row["traces"], row["lacking"])
