"""Offline evaluation: the judges of production over a data set, as an MLflow evaluation run.

rows → traces in memory → judges → MLflow, with patience → summaries, comparison, gate → report and artifacts
"""

from qualitrace_monitors.evaluation.dataset import DataError, Row
from qualitrace_monitors.evaluation.run import Evaluation, evaluate
from qualitrace_monitors.evaluation.summary import Comparison, Gate, MetricSummary

__all__ = ["Comparison", "DataError", "Evaluation", "Gate", "MetricSummary", "Row", "evaluate"]
