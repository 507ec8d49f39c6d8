"""From the journal to MLflow and the judges' queue, one stage a module."""
