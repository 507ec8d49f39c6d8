"""Prints each trace as a tree to stderr, for people who write an app."""

import os
import sys
from collections.abc import Sequence

from qualitrace.quiet import never_raises
from qualitrace.reading import RecordedSpan, tree

# Traces that wait for their root: more at once are not read by a person. The oldest is printed as it is.
MAX_TRACES = 100
# Spans of a trace that wait; a tree shows fewer.
MAX_SPANS = 1000


class Console:
    """Collects spans by trace, and prints a trace when its local root has ended."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[RecordedSpan]] = {}
        self._pid = os.getpid()

    @never_raises
    def take(self, spans: Sequence[RecordedSpan]) -> None:
        """Print the traces that end with one of the spans."""
        if self._pid != os.getpid():  # what waited at a fork is the parent's
            self.__init__()
        for span in spans:
            waiting = self._waiting.setdefault(span.trace_id, [])
            if len(waiting) < MAX_SPANS or span.is_local_root:
                waiting.append(span)
            if span.is_local_root:
                self._print(span.trace_id)
        while len(self._waiting) > MAX_TRACES:
            self._print(next(iter(self._waiting)))

    @never_raises
    def close(self) -> None:
        """Print what waits for a root that has not ended."""
        for trace_id in list(self._waiting) if self._pid == os.getpid() else ():
            self._print(trace_id)

    def _print(self, trace_id: str) -> None:
        spans = self._waiting.pop(trace_id)
        # In one piece: other threads write to it, too.
        sys.stderr.write(f"trace {trace_id} ({spans[-1].service})\n{tree(spans)}\n\n")
        sys.stderr.flush()
