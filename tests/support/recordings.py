"""Requests as real clients sent them."""

from pathlib import Path

RECORDINGS = sorted((Path(__file__).parents[1] / "collector" / "recordings").glob("*.otlp.pb"))
"""A file of each client: one OTLP export request, serialized."""
