"""OTLP in, MLflow traces out: receive, journal, assemble, convert, store, measure, sample."""
