"""Judges: from a `Sample` to a `Score`, by local rules, a language model or an MLflow scorer."""
