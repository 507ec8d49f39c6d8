"""Quality of a service by a judge over a window: the estimate, its interval and its sample size."""
