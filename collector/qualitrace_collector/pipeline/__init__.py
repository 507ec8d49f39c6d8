"""From the journal to MLflow and the judges' queue; `loop` has the whole way."""
