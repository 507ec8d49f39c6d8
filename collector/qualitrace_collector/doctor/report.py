"""What traces lack, by source, what remedies it, and the outcome of each judgement: read from the state database."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qualitrace_collector.doctor import head_sampling
from qualitrace_collector.doctor.remedies import instrumentor_for, remedy_for
from qualitrace_collector.state import CoverageTotals, Database, Ledger
from qualitrace_collector.state.coverage import Content, Source
from qualitrace_collector.state.services import FULL_TENANTS, REMEDY, ServiceNames, Usage
from qualitrace_collector.state.untraced import Untraced

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

    def remedies(self) -> Iterator[str]:
        """Yield a line for each thing that traces lack: what it is, of which service, and what to do."""
        for service in _without_retriever(self):
            yield f"documents ({service}): {NO_RETRIEVER}"
        for service, found in self.untraced.items():
            for library, traces in found.items():
                yield f"{library} ({service}): used and not traced ({traces} traces): {instrumentor_for(library)}"
        for service, share in self.head_sampled.items():
            few = f"about 1 in {1 / share:.3g} traces arrives, as the low trace ids show, and no"
            yield f"sampling ({service}): {few} tracestate says so, {head_sampling.REMEDY}"
        for (source, remedy), contents in _remedies(self.gaps).items():
            yield f"{', '.join(contents)} ({source.service}, {source.scope or 'no scope'}): {remedy}"

    def to_dict(self, limit: int) -> dict[str, Any]:
        """Return what `--json` prints; `limit` is that on the services of a tenant."""
        return {
            "services": [usage._asdict() | {"limit": limit} for usage in self.services],
            "too_many_names": self.full(limit),
            "coverage": [
                gap.source._asdict()
                | {"content": gap.content, "traces": gap.traces, "lacking": gap.lacking}
                | ({"remedy": gap.remedy} if gap.lacking else {})
                for gap in self.gaps
            ],
            "untraced": [
                {"service": service, "library": library, "traces": traces, "remedy": instrumentor_for(library)}
                for service, found in self.untraced.items()
                for library, traces in found.items()
            ],
            "head_sampled": [
                {"service": service, "share": share, "remedy": head_sampling.REMEDY}
                for service, share in self.head_sampled.items()
            ],
            "outcomes": [
                {"judge": item.judge, "service": item.service, "outcome": item.outcome, "total": item.total}
                | ({"meaning": item.meaning} if item.meaning else {})
                for item in self.outcomes
            ],
        }


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
