"""For all tests: MLflow as it runs inside our processes."""

from qualitrace_collector.mlflow_settings import apply_mlflow_settings

apply_mlflow_settings()
