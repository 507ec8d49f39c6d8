"""Quality of a service by a judge over a window: scores, the estimate from them, and its interval."""
