"""`check-config FILE --against 24h`: how many of the stored traces each judge, stratum and alert rule would have seen.

    state.db {services and ids} ─▶ a random sample of the ids ─▶ MLflow {spans} ─▶ count by `match` ─▶ scale up

Everything is only read, so a server may run beside it. Where no `match` asks for more than services, the state database
has the answer, and MLflow is not asked.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from qualitrace_collector.mlflow_store.store import TraceStore
from qualitrace_collector.pipeline.match import Find, Match
from qualitrace_collector.pipeline.settings import SampledJudge
from qualitrace_collector.pipeline.stored_trace import StoredTrace
from qualitrace_collector.state import read_only
from qualitrace_monitors.config import Config

MOST_READ = 20_000
"""Traces that are read: shares are right within a percent."""
READ_SECONDS = 60.0
"""How long traces are read."""
AT_ONCE = 10
"""Traces that are in memory at once: each may have `assembly.max_trace_size`."""

Progress = Callable[[int, int], object]
"""Gets how many of how many traces were read."""


class Line(NamedTuple):
    """How many of the traces something would have seen, and how many of these a judge would have scored.

    Attributes:
        judged: by the configured rates, without what is always judged, and without budgets.
    """

    name: str
    seen: float
    judged: float


class Answer(NamedTuple):
    """What is said of all the traces.

    Attributes:
        traces: how many were stored in the time.
        read: how many of them the answer rests on.
    """

    traces: int
    read: int
    lines: Sequence[Line]


def count_seen(
    config: Config, state: Path, open_store: Callable[[], TraceStore], since: float, progress: Progress
) -> Answer:
    """Return what the configuration would have seen.

    Args:
        state: the state database's file.
        open_store: called if traces have to be read.
        since: when the oldest of the traces was stored, Unix seconds.

    Raises:
        StoreUnavailable: MLflow does not answer.
        StateError: the state database cannot be read.
    """
    with read_only(state) as connection:
        services = {row[0]: row[1] for row in connection.execute(_SERVICES, (since,))}
        total = sum(services.values())
        counts = _Counts(config)
        if all(match.is_of_services for match in _matches(config)):
            for service, traces in services.items():
                counts.add({"service": service}.get, traces)
            return Answer(total, total, counts.lines(1.0))
        query = f"SELECT trace_id, service {_STORED} ORDER BY random() LIMIT {MOST_READ}"
        sample = [(row["trace_id"], row["service"]) for row in connection.execute(query, (since,))]
    read = 0
    for trace in _read(open_store(), sample, progress) if sample else ():
        counts.add(trace.find, 1)
        read += 1
    return Answer(total, read, counts.lines(total / read if read else 0.0))


_STORED = "FROM trace WHERE recorded_at >= ? AND outcome = 'stored' AND root_seen = 1"
_SERVICES = f"SELECT service, count(*) {_STORED} GROUP BY service"


def _read(store: TraceStore, sample: Sequence[tuple[str, str]], progress: Progress) -> Iterator[StoredTrace]:
    """Yield traces until the time is over; without those that were deleted in MLflow."""
    ends_at = time.monotonic() + READ_SECONDS
    for start in range(0, len(sample), AT_ONCE):
        if time.monotonic() >= ends_at:
            return
        progress(start, len(sample))
        some = dict(sample[start : start + AT_ONCE])
        for trace_id, spans in store.read_all([*some]).items():
            if spans:
                yield StoredTrace(trace_id=trace_id, service=some[trace_id], spans=spans, read=spans)


def _matches(config: Config) -> Iterator[Match]:
    strata = (stratum for judge in config.judges for stratum in config.sampling.strata_of(judge))
    for part in (*config.judges, *strata, *config.alerts):
        if part.match is not None:
            yield part.match


class _Counts:
    """Counts traces by what would have seen them."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._judges = {judge.name: judge for judge in config.judges}
        self._seen, self._judged = dict[str, float](), dict[str, float]()
        self._names = [*self._all_names()]

    def _all_names(self) -> Iterator[str]:
        for judge in self._config.judges:
            yield f"judge {judge.name}"
            yield from (_stratum(judge, at) for at in range(len(self._config.sampling.strata_of(judge))))
        yield from (f"alert {rule.name}" for rule in self._config.alerts)

    def add(self, find: Find, traces: int) -> None:
        """Count traces that are alike."""
        sampling, rates = self._config.sampling, dict[str, float]()
        for judge in self._config.judges:
            if judge.match is not None and not judge.match.holds(find):
                continue
            rate = rates[judge.name] = sampling.rate_for(judge, find)
            self._put(f"judge {judge.name}", traces, rate)
            strata = enumerate(sampling.strata_of(judge))
            if (at := next((at for at, stratum in strata if stratum.match.holds(find)), None)) is not None:
                self._put(_stratum(judge, at), traces, rate)
        for rule in self._config.alerts:
            is_about = rule.covers(find("service") or "") and (rule.match is None or rule.match.holds(find))
            if is_about and (rule.judge is None or rule.judge in rates):
                self._put(f"alert {rule.name}", traces, rates.get(rule.judge or "", 0.0))

    def _put(self, name: str, traces: int, rate: float) -> None:
        self._seen[name] = self._seen.get(name, 0) + traces
        self._judged[name] = self._judged.get(name, 0) + traces * rate

    def lines(self, scale: float) -> list[Line]:
        """Return a line for each judge, stratum and rule, in the order of the file."""
        counts = ((name, self._seen.get(name, 0), self._judged.get(name, 0)) for name in self._names)
        return [Line(name, seen * scale, judged * scale) for name, seen, judged in counts]


def _stratum(judge: SampledJudge, at: int) -> str:
    return f"judge {judge.name} rates.{at}"
