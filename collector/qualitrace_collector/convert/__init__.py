"""Converts OTLP spans to MLflow spans, and MLflow spans to the sample that is judged."""

from qualitrace_collector.convert.build_sample import build_sample
from qualitrace_collector.convert.trace import ConvertedTrace, convert, convert_all

__all__ = ["ConvertedTrace", "build_sample", "convert", "convert_all"]
