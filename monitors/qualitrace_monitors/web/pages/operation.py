"""The page `/operation`: how qualitrace itself does, what it counted, and what it runs with."""

import platform
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from typing import Any

import yaml

from qualitrace_collector.doctor.report import Report
from qualitrace_collector.pipeline.settings import SampledJudge
from qualitrace_collector.state import DeadLetters, JudgeQueue, Ledger
from qualitrace_collector.state.ledger import JUDGEMENT_OUTCOMES, TRACE_OUTCOMES
from qualitrace_monitors.config.effective import effective
from qualitrace_monitors.metrics.process import memory_used
from qualitrace_monitors.notify.outbox import Outbox, Waiting
from qualitrace_monitors.web.page import Page, PageRequest, Sources

ROWS, LETTERS, REMEDIES = 200, 10, 50
"""Shown at most, of a table of the ledger; of the dead letters; of what traces lack."""
LONGEST_ERROR = 300
DISTRIBUTIONS = ("qualitrace", "mlflow", "opentelemetry-proto", "sqlalchemy")


@dataclass(frozen=True, slots=True)
class LedgerTable:
    """Totals by outcome.

    Attributes:
        rows: names with their totals, in the order of the outcomes.
        left_out: how many names are not shown.
    """

    outcomes: tuple[str, ...]
    rows: list[tuple[str, list[int]]]
    left_out: int


def _context(sources: Sources, _request: PageRequest) -> Mapping[str, Any]:
    now, database, config = sources.clock(), sources.database, sources.config
    totals = Ledger(database).totals()
    outbox = Outbox(database)
    report = Report.read(database)
    waiting = outbox.waiting()
    deliveries = {last.receiver: last for last in outbox.last_deliveries()}
    letters = DeadLetters(database)
    return {
        "components": [*sources.problems().items()],
        "reload": sources.reload_state(),
        "journal": sources.journal(),
        "queue": [(judge, max(0.0, now - at)) for judge, at in JudgeQueue(database).oldest().items()],
        "traces": _ledger(totals, "service", TRACE_OUTCOMES),
        "judgements": _ledger(totals, "judge", JUDGEMENT_OUTCOMES),
        "rates": [_rate(sources, judge) for judge in config.judges],
        "balances": sources.spending.balances(now),
        "receivers": [(name, deliveries.get(name), waiting.get(name, Waiting(0, now))) for name in config.notify],
        "remedies": [*islice(report.remedies(), REMEDIES)],
        "too_many_names": report.full(config.mlflow.max_experiments),
        "distros": _distros(sources),
        "letters": letters.summaries(LETTERS),
        "letter_count": letters.count(),
        "longest_error": LONGEST_ERROR,
        "versions": [("Python", platform.python_version()), *((name, version(name)) for name in DISTRIBUTIONS)],
        "memory": memory_used(),
        "configuration": yaml.safe_dump(effective(config), sort_keys=False, allow_unicode=True),
    }


def _rate(sources: Sources, judge: SampledJudge) -> tuple[str, float, float]:
    """Return a judge with its configured rate and the one that its budgets leave."""
    return judge.name, sources.config.sampling.rate_of(judge), sources.pacing.effective_rate(judge)


def _ledger(totals: Iterable[sqlite3.Row], column: str, outcomes: tuple[str, ...]) -> LedgerTable:
    """Sum the ledger by `column` (service: of whole traces; judge: of judgements)."""
    sums: dict[str, dict[str, int]] = {}
    for row in totals:
        if bool(row["judge"]) == (column == "judge"):
            sums.setdefault(row[column], dict.fromkeys(outcomes, 0))[row["outcome"]] += row["total"]
    names = sorted(sums, key=lambda name: (-sum(sums[name].values()), name))
    shown = [(name, [*sums[name].values()]) for name in sorted(names[:ROWS])]
    return LedgerTable(outcomes, shown, max(0, len(names) - ROWS))


def _distros(sources: Sources) -> list[tuple[str, str]]:
    """Return which services' spans come from which SDK's distribution, where they say so."""
    query = "SELECT DISTINCT service, distro FROM coverage_source WHERE distro != '' ORDER BY 1, 2 LIMIT ?"
    return [(row["service"], row["distro"]) for row in sources.database.rows(query, (ROWS,))]


PAGE = Page("/operation", "operation.html", _context, "Operation")
