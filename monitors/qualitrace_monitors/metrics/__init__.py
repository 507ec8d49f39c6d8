"""The Prometheus metrics of judging, under `qualitrace_`: those counted as scores come in, those read at a scrape."""

from qualitrace_monitors.metrics.budget import BudgetCollector
from qualitrace_monitors.metrics.judge import JudgeMetrics
from qualitrace_monitors.metrics.state import DEFAULT_WINDOW, StateCollector, StateSources, window_label

__all__ = ["DEFAULT_WINDOW", "BudgetCollector", "JudgeMetrics", "StateCollector", "StateSources", "window_label"]
