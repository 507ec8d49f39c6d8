"""What `import qualitrace` brings, and what it must not."""

import doctest
import importlib
import inspect
import logging
import tomllib
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

import qualitrace
from qualitrace.quiet import SparseFilter, never_raises
from qualitrace.testing import record_spans


def test_public_names() -> None:
    """Every public name exists, is documented, and the list is sorted."""
    assert sorted(qualitrace.__all__) == qualitrace.__all__
    for name in qualitrace.__all__:
        assert inspect.getdoc(getattr(qualitrace, name)), name


@pytest.mark.parametrize("name", [*qualitrace.__all__, "testing.record_spans"])
def test_docstrings_run(name: str, tracing: Any) -> None:
    """Every public name shows its use, and what is shown happens."""
    documented = attrgetter(name)(qualitrace)
    finder = doctest.DocTestFinder(recurse=False)
    found = finder.find(documented, name, globs={"qualitrace": qualitrace, "record_spans": record_spans})
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    said: list[str] = []
    results = [runner.run(test, out=said.append) for test in found]
    assert sum(result.attempted for result in results) > 0
    assert not sum(result.failed for result in results), "".join(said)


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


def test_start_is_light(programs: Any) -> None:
    """It leaves what only exports need to the first export."""
    heavy = {"requests", "google.protobuf", "opentelemetry.exporter"}
    done = programs.run(
        f"""
        import sys, qualitrace
        qualitrace.init(endpoint="http://127.0.0.1:1")
        print(sorted({heavy} & set(sys.modules)))
        """
    )
    assert done.output == "[]\n", done.errors


def test_pytest_finds_the_fixture() -> None:
    """By an entry point that is named like its module, so that `-p` and `pytest_plugins` do not load it twice."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    for name, module in project["entry-points"]["pytest11"].items():
        assert name == module
        assert hasattr(importlib.import_module(module), "qualitrace_spans")


def test_the_pytest_plugin_is_light(programs: Any) -> None:
    """Each pytest run of an environment loads it, whether a test uses it or not."""
    done = programs.run(
        """
        import sys, pytest
        before = set(sys.modules)
        import qualitrace.pytest_plugin
        print(sorted({"opentelemetry.sdk", "qualitrace.testing"} & (set(sys.modules) - before)))
        """
    )
    assert done.output == "[]\n", done.errors


def test_never_raises(caplog: pytest.LogCaptureFixture) -> None:
    """A failure of our own is a warning once, then a debug line, and never an exception."""

    @never_raises
    def broken() -> int:
        raise RuntimeError("bug")

    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "qualitrace"):
        assert (broken(), broken()) == (None, None)
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG"]


def test_sparse_filter() -> None:
    """One record passes in each interval."""
    times = [0.0, 1.0, 59.0, 60.0, 61.0]
    clock = iter(times)
    sparse = SparseFilter(60, lambda: next(clock))
    record = logging.makeLogRecord({})
    assert [sparse.filter(record) for _ in times] == [True, False, False, True, False]
