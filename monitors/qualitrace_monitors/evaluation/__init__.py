"""Offline evaluation: the judges of production over a data set, as an MLflow evaluation run.

data set → traces in memory → judges → run in MLflow → summaries, comparison, gate → report and artifacts
"""
