"""The Prometheus metrics of judging, under `qualitrace_`: those counted as scores come in, those read at a scrape."""

from qualitrace_monitors.metrics.judge import JudgeMetrics
from qualitrace_monitors.metrics.scrape import DEFAULT_WINDOW, BudgetCollector, StateCollector, window_label

__all__ = ["DEFAULT_WINDOW", "BudgetCollector", "JudgeMetrics", "StateCollector", "window_label"]
