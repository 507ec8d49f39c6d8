"""How often Python looks for cycles of garbage."""

import gc

COLLECT_AFTER = (100_000, 20, 20)
"""Spans are many small objects without cycles: Python's default of 700 would look for some at every trace."""


def collect_seldom() -> None:
    """Look less often, and never at what there is by now: call it when all is imported."""
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
