"""What the demo looks at: the numbers on /metrics, and the timings in the state database."""

import sqlite3
import statistics
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

SERVICE = "shop-assistant"
JUDGE = "groundedness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The groundedness pass rate over the rule's window: the estimate, its interval, its samples."""

    rate: float
    lower: float
    upper: float
    samples: int

    def __str__(self) -> str:
        return f"{self.rate:.0%} [{self.lower:.0%}, {self.upper:.0%}] of {self.samples}"


class Metrics:
    """The samples of one page of /metrics in Prometheus' text format."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """Sum the samples of `name` that carry these labels; 0 without any."""
        return sum(self._values(name, labels))

    def quality(self, window: str) -> Quality | None:
        """Return the demo's groundedness over `window`, if there are scores yet."""
        labels = {"judge": JUDGE, "service": SERVICE, "window": window}
        values = [self._values(f"qualitrace_pass_rate{part}", labels) for part in ("", "_lower", "_upper", "_samples")]
        if not all(values):
            return None
        rate, lower, upper, samples = (found[0] for found in values)
        return Quality(rate=rate, lower=lower, upper=upper, samples=int(samples)) if samples else None

    def alert_state(self, alert: str) -> str:
        """Return the state of `alert` that is set: inactive, pending or firing."""
        return next(
            (
                sample.labels["state"]
                for sample in self._samples
                if sample.name == "qualitrace_alert_state" and sample.labels.get("alert") == alert and sample.value == 1
            ),
            "inactive",
        )

    def _values(self, name: str, labels: dict[str, str]) -> list[float]:
        return [
            sample.value for sample in self._samples if sample.name == name and labels.items() <= sample.labels.items()
        ]


@dataclass(frozen=True, slots=True)
class Freshness:
    """Seconds from the end of a request to its exported score: median and 95th percentile."""

    p50: float
    p95: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.1f} s, p95 {self.p95:.1f} s"


def freshness(state_database: Path) -> Freshness | None:
    """Measure every score in `state_database`: when it was scored, less when its root span ended."""
    with closing(_open_to_read(state_database)) as connection:
        rows = connection.execute(
            "SELECT scored_at - root_ended_at FROM score JOIN judgement USING (trace_id, judge)"
        ).fetchall()
    if len(rows) < 2:
        return None
    percentiles = statistics.quantiles([row[0] for row in rows], n=100, method="inclusive")
    return Freshness(p50=percentiles[49], p95=percentiles[94])


def traces_in_mlflow(mlflow_database: Path) -> int:
    """Count the traces in MLflow's own database."""
    with closing(_open_to_read(mlflow_database)) as connection:
        return connection.execute("SELECT count(*) FROM trace_info").fetchone()[0]


def _open_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)
