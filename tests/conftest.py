"""For all tests: MLflow as it runs inside our processes, and property tests that a busy machine does not fail."""

from hypothesis import HealthCheck, settings

from qualitrace_collector.mlflow_settings import apply_mlflow_settings

apply_mlflow_settings()

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
