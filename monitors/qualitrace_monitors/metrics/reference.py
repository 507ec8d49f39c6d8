"""Writes docs/reference/metrics.md: `python -m qualitrace_monitors.metrics.reference > docs/reference/metrics.md`."""

from qualitrace_collector import metrics as collector_metrics
from qualitrace_collector.pipeline.call_metrics import MAX_CALLS, MAX_NAMES
from qualitrace_collector.pipeline.stored_trace import MAX_MODELS
from qualitrace_monitors.metrics import families

_HEAD = f"""\
# Metrics

The web port (`listen.web`, 127.0.0.1:9464) exports these families at `/metrics`, for Prometheus to scrape. This page is
generated from the code: `python -m qualitrace_monitors.metrics.reference > docs/reference/metrics.md`.

- `window` is `1h` and each window of an alert rule; of budgets it is `hour` or `day`.
- Values of labels that come from outside are bounded, of each tenant: those beyond are called `other`. They are the
  services (`mlflow.max_experiments`), {MAX_MODELS} models, {MAX_NAMES} each of providers, operations and kinds of
  errors, and {MAX_CALLS} combinations of these. What nobody sends any more makes room after a week.
- `tier` is `local`, `llm` or `scorer`.
- In the OpenMetrics form the metrics of scores, traces and model calls carry a trace id as exemplar (Prometheus:
  `--enable-feature=exemplar-storage`).
- `process_*` (memory, processor time, file descriptors) are those of the process `work`, on Linux;
  `qualitrace_process_*` are those of each process, by name.
- Counters never fall: a trace whose outcome was replaced counts in both. The totals on the dashboard reconcile.
"""


def page() -> str:
    """Return the page in Markdown."""
    declared = sorted((*collector_metrics.FAMILIES, *families.FAMILIES), key=lambda family: family.name)
    rows = [f"| `{of.name}` | {of.type} | {', '.join(of.labels)} | {of.help} |\n" for of in declared]
    return f"{_HEAD}\n| metric | type | labels | meaning |\n|---|---|---|---|\n{''.join(rows)}"


if __name__ == "__main__":
    print(page(), end="")
