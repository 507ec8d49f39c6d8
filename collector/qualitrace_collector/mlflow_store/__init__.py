"""Traces and assessments into MLflow, in bulk or by its own stores."""
