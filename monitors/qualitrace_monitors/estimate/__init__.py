"""Quality of a service by a judge over a window: the estimate, its interval and its sample size."""

from qualitrace_monitors.estimate.estimator import Estimate, Estimator

__all__ = ["Estimate", "Estimator"]
