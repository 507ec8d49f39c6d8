"""Writes docs/reference/metrics.md: `python -m qualitrace_monitors.metrics.reference > docs/reference/metrics.md`."""

from collections.abc import Sequence

from qualitrace_collector import metrics as collector_metrics
from qualitrace_collector.metrics import Family
from qualitrace_monitors.metrics import families

_HEAD = """\
# Metrics

The web port (`listen.web`, 127.0.0.1:9464) exports these families at `/metrics`, for Prometheus to scrape. This page is
generated from the code: `python -m qualitrace_monitors.metrics.reference > docs/reference/metrics.md`.

- `window` is `1h` and each window of an alert rule; of budgets it is `hour` or `day`.
- `tier` is `local`, `llm` or `scorer`.
- In the OpenMetrics form the metrics of scores, traces and model calls carry a trace id as exemplar (Prometheus:
  `--enable-feature=exemplar-storage`).
- `process_*` (memory, processor time, file descriptors) are those of the process `work`, on Linux;
  `qualitrace_process_*` are those of each process, by name.
- Counters never fall: a trace whose outcome was replaced counts in both. The totals on the dashboard reconcile.
"""


def page() -> str:
    """Return the page in Markdown."""
    tables = [_table("Collector", collector_metrics.FAMILIES), _table("Monitors", families.FAMILIES)]
    return "\n".join([_HEAD, *tables])


def _table(title: str, families: Sequence[Family]) -> str:
    rows = [
        f"| `{family.name}` | {family.type} | {', '.join(family.labels)} | {family.help} |\n" for family in families
    ]
    return f"## {title}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n{''.join(rows)}"


if __name__ == "__main__":
    print(page(), end="")
