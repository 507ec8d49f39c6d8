"""Rows of data, read whatever they look like and scored by judges; and `qualitrace judge`, which scores a file."""
