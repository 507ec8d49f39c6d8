"""Offline evaluation: the judges of production over a data set, as an MLflow evaluation run.

data set → traces in memory → judges → run in MLflow → summaries, comparison, gate → report and artifacts
"""

from qualitrace_monitors.evaluation.dataset import DataError
from qualitrace_monitors.evaluation.result import Comparison, Evaluation, Gate, MetricSummary
from qualitrace_monitors.evaluation.run import evaluate

__all__ = ["Comparison", "DataError", "Evaluation", "Gate", "MetricSummary", "evaluate"]
