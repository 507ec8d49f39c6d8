"""`qualitrace doctor` reports why scores are missing: what traces lack, by source, and the outcome of each judgement.

    state.db {coverage, ledger} ─▶ Report ─▶ tables and remedies, or JSON

It reads the totals that the collector writes with each trace, so it works with and without a running server.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from qualitrace_collector.cli import config_option, load_or_exit, open_state
from qualitrace_collector.doctor import head_sampling
from qualitrace_collector.doctor.remedies import instrumentor_for, remedy_for
from qualitrace_collector.settings import CollectorConfig
from qualitrace_collector.state import CoverageTotals, Database, Ledger
from qualitrace_collector.state.coverage import Content, Source
from qualitrace_collector.state.services import FULL_TENANTS, REMEDY, ServiceNames, Usage
from qualitrace_collector.state.untraced import Untraced

CONTENTS: tuple[Content, ...] = ("input", "output", "tokens", "documents", "session", "retriever", "tools", "run")

PASSAGE_METRICS = frozenset({"groundedness", "faithfulness", "retrieval_relevance"})
NO_RETRIEVER = (
    "no span fetches any, and no prompt marks them: mark the function that does, for example with "
    '@qualitrace.trace(kind="retriever")'
)

# The meaning of each bad outcome to someone who misses a score.
_OUTCOMES = {
    "not_genai": "no span of these was recognised as one of a GenAI library: is it instrumented?",
    "dead_lettered": "MLflow refused these: 'qualitrace journal list' shows why",
    "queued": "wait for 'qualitrace serve' or 'qualitrace monitor'",
    "sampled_out": "not in the judge's sample: raise its rate or sampling.rate",
    "not_matched": "not what the judge is for: see its match",
    "not_applicable": "lack what the judge needs, an answer or documents, or returned nothing: see the table above",
    "budget_skipped": "the budget was spent: raise it, or lower the rate",
    "failed": "the judge failed: qualitrace_judge_errors_total and the server's log show why",
    "expired": "waited for longer than the server keeps them: is the judge still configured, and fast enough?",
}


@dataclass(frozen=True, slots=True)
class Gap:
    """How many of a source's traces should have some content, how many of those lack it, and the remedy."""

    source: Source
    content: Content
    traces: int
    lacking: int

    @property
    def remedy(self) -> str:
        """What to set in the application."""
        return remedy_for(self.source, self.content)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many traces of a service (`judge` is empty), or judgements of a judge on it, had this outcome."""

    judge: str
    service: str
    outcome: str
    total: int

    @property
    def meaning(self) -> str:
        """The meaning to someone who misses a score; empty for a good outcome."""
        return _OUTCOMES.get(self.outcome, "")


@dataclass(frozen=True, slots=True)
class Report:
    """The contents of the state database, the most frequent source first.

    Attributes:
        untraced: by service, the libraries that are used and not traced, and in how many traces that shows.
        head_sampled: the services that sample and do not say so, with about the share that they keep.
    """

    gaps: Sequence[Gap]
    outcomes: Sequence[Outcome]
    untraced: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    services: Sequence[Usage] = ()
    head_sampled: Mapping[str, float] = field(default_factory=dict[str, float])

    @classmethod
    def read(cls, database: Database) -> "Report":
        """Read the totals."""
        gaps = [
            Gap(Source(*(row[name] for name in Source._fields)), row["content"], row["traces"], row["lacking"])
            for row in CoverageTotals(database).totals()
        ]
        untraced: dict[str, dict[str, int]] = {}
        for row in Untraced(database).totals():
            untraced.setdefault(row["service"], {})[row["library"]] = row["traces"]
        outcomes = [Outcome(**dict(row)) for row in Ledger(database).totals()]
        return cls(gaps, outcomes, untraced, ServiceNames.usage(database), head_sampling.kept_silently(database))

    def full(self, limit: int) -> list[str]:
        """Return a line for each tenant that has as many services as it may have, and one if all together have."""
        found = [(f"tenant {u.tenant}" if u.tenant else "the senders", u.services, limit) for u in self.services]
        found.append(("all tenants", sum(usage.services for usage in self.services), limit * FULL_TENANTS))
        return [
            f"{who}: {count} services of {most}, further ones are called other; {REMEDY}"
            for who, count, most in found
            if count >= most
        ]

    def to_dict(self, limit: int) -> dict[str, Any]:
        """Return what `--json` prints; `limit` is that on the services of a tenant."""
        return {
            "services": [usage._asdict() | {"limit": limit} for usage in self.services],
            "too_many_names": self.full(limit),
            "coverage": [
                gap.source._asdict()
                | {"content": gap.content, "traces": gap.traces, "lacking": gap.lacking}
                | ({"mend": gap.remedy} if gap.lacking else {})
                for gap in self.gaps
            ],
            "untraced": [
                {"service": service, "library": library, "traces": traces, "mend": instrumentor_for(library)}
                for service, found in self.untraced.items()
                for library, traces in found.items()
            ],
            "head_sampled": [
                {"service": service, "share": share, "mend": head_sampling.REMEDY}
                for service, share in self.head_sampled.items()
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
    for service in _without_retriever(report):
        console.print(f"- documents ({service}): {NO_RETRIEVER}", markup=False, highlight=False)
    for service, found in report.untraced.items():
        for library, traces in found.items():
            line = f"- {library} ({service}): used and not traced ({traces} traces): {instrumentor_for(library)}"
            console.print(line, markup=False, highlight=False)
    for service, share in report.head_sampled.items():
        line = f"- sampling ({service}): about 1 in {1 / share:.3g} traces arrives, as the low trace ids show, and no"
        console.print(f"{line} tracestate says so, {head_sampling.REMEDY}", markup=False, highlight=False)
    for (source, remedy), contents in _remedies(report.gaps).items():
        what = f"{', '.join(contents)} ({source.service}, {source.scope or 'no scope'})"
        console.print(f"- {what}: {remedy}", markup=False, highlight=False)
    console.print()
    console.print(_outcome_table(report.outcomes))


def _without_retriever(report: Report) -> list[str]:
    """Return the services whose judges lacked passages, and that have no span which retrieves any."""
    fetching = {gap.source.service for gap in report.gaps if gap.content == "documents"}
    idle = {o.service for o in report.outcomes if o.judge in PASSAGE_METRICS and o.outcome == "not_applicable"}
    return sorted(idle - fetching)


def _remedies(gaps: Iterable[Gap]) -> dict[tuple[Source, str], list[Content]]:
    """Return the contents that each remedy of a source brings: often one setting brings input and output."""
    found: dict[tuple[Source, str], list[Content]] = {}
    for gap in gaps:
        if gap.lacking:
            found.setdefault((gap.source, gap.remedy), []).append(gap.content)
    return found


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
