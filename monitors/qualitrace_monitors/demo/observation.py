"""What is seen of the demo at one moment: on the server's /metrics, and in the databases in its `data_dir`."""

import sqlite3
import statistics
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from qualitrace_monitors.demo.parts import SERVICE

ALERT, JUDGE, WINDOW = "groundedness-low", "groundedness", "15s"  # as in serve.yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is known at one moment.

    Attributes:
        answered, stored, scored, in_mlflow: questions, and their traces by the server's ledger and by MLflow.
        quality: groundedness' pass rate over the rule's window, the bounds of its interval, and the number of scores.
        alert: the rule's state on /metrics: inactive, pending or firing.
        notified: what the receiver last heard of the alert: firing, resolved, or nothing yet.
        freshness: seconds from the end of a request to its exported score: median and 95th percentile.
    """

    answered: int = 0
    stored: int = 0
    scored: int = 0
    in_mlflow: int = 0
    quality: tuple[float, float, float, int] = (0.0, 0.0, 0.0, 0)
    alert: str = "inactive"
    notified: str = ""
    freshness: tuple[float, float] | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether enough answers were scored and nearly all of them are grounded."""
        return self.quality[3] >= 15 and self.quality[0] >= 0.9

    @property
    def is_settled(self) -> bool:
        """Whether each answer is one trace, stored and scored, and the scores came within five seconds."""
        counts = {self.answered, self.stored, self.scored, self.in_mlflow}
        return len(counts) == 1 and self.freshness is not None and self.freshness[1] <= 5.0

    def facts(self) -> dict[str, str]:
        """Return what the person in front of the terminal sees."""
        unknown = "not known yet"
        return {
            "answers": str(self.answered),
            "groundedness": "{:.0%} [{:.0%}, {:.0%}] of {}".format(*self.quality) if self.quality[3] else unknown,
            "alert": self.alert,
            "freshness": "p50 {:.1f} s, p95 {:.1f} s".format(*self.freshness) if self.freshness else unknown,
        }


def observe(metrics: str, directory: Path, answered: int, notified: str) -> Observation:
    """Read the server's /metrics (Prometheus' text format) and the databases in its `data_dir`."""
    samples = [sample for family in text_string_to_metric_families(metrics) for sample in family.samples]

    def total(name: str, **labels: str) -> float:
        return sum(s.value for s in samples if s.name == f"qualitrace_{name}" and labels.items() <= s.labels.items())

    parts = ("pass_rate", "pass_rate_lower", "pass_rate_upper", "pass_rate_samples")
    rate, lower, upper, scores = (total(part, service=SERVICE, judge=JUDGE, window=WINDOW) for part in parts)
    states = [state for state in ("firing", "pending") if total("alert_state", alert=ALERT, state=state)]
    ages = query(
        directory / "state.db", "SELECT scored_at - root_ended_at FROM score JOIN judgement USING (trace_id, judge)"
    )
    percentiles = statistics.quantiles(ages, n=100, method="inclusive") if len(ages) > 1 else []
    return Observation(
        answered=answered,
        stored=int(total("traces_total", service=SERVICE, outcome="stored")),
        scored=int(total("judgements_total", service=SERVICE, judge=JUDGE, outcome="scored")),
        in_mlflow=int(query(directory / "mlflow.db", "SELECT count(*) FROM trace_info")[0]),
        quality=(rate, lower, upper, int(scores)),
        alert=states[0] if states else "inactive",
        notified=notified,
        freshness=(percentiles[49], percentiles[94]) if percentiles else None,
    )


def query(database: Path, sql: str, *values: str) -> list[Any]:
    """Return the first column of what a query finds."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute(sql, values)]
