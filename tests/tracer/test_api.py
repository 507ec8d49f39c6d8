"""What `import qualitrace` brings, and what it must not."""

import inspect
import logging
from typing import Any

import pytest

import qualitrace
from qualitrace.quiet import SparseFilter, never_raises


def test_public_names() -> None:
    """Every public name exists, is documented, and the list is sorted."""
    assert sorted(qualitrace.__all__) == qualitrace.__all__
    for name in qualitrace.__all__:
        assert inspect.getdoc(getattr(qualitrace, name)), name


def test_import_is_light(programs: Any) -> None:
    """The import loads no server library, no provider's client, and not even the SDK's exporter."""
    heavy = {"mlflow", "grpc", "pandas", "starlette", "openai", "anthropic", "langchain_core", "pydantic", "requests"}
    done = programs.run(
        f"""
        import sys, qualitrace
        print(sorted(({heavy | {"opentelemetry.sdk", "opentelemetry.exporter"}}) & set(sys.modules)))
        """
    )
    assert done.output == "[]\n", done.errors


def test_never_raises(caplog: pytest.LogCaptureFixture) -> None:
    """A failure of our own is a warning once, then a debug line, and never an exception."""

    @never_raises
    def broken() -> int:
        raise RuntimeError("bug")

    with caplog.at_level(logging.DEBUG):
        assert (broken(), broken()) == (None, None)
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG"]


def test_sparse_filter() -> None:
    """One record passes in each interval."""
    times = [0.0, 1.0, 59.0, 60.0, 61.0]
    clock = iter(times)
    sparse = SparseFilter(60, lambda: next(clock))
    record = logging.makeLogRecord({})
    assert [sparse.filter(record) for _ in times] == [True, False, False, True, False]
