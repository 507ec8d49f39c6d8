"""The pytest fixture `qualitrace_spans`; pytest finds it by itself."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from qualitrace.testing import RecordedSpans


@pytest.fixture
def qualitrace_spans() -> "Iterator[RecordedSpans]":
    """The spans of the test, in memory (`qualitrace.testing.RecordedSpans`); nothing is sent."""
    from qualitrace.testing import record_spans  # not before a test asks for it

    with record_spans() as spans:
        yield spans
