"""Starts tracing as the interpreter starts: `qualitrace run` puts this folder first on PYTHONPATH.

Every Python process that the command starts is traced too. The environment's own `sitecustomize`, which
this one hides, is run first.
"""

import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path

HERE = str(Path(__file__).parent)


def _run_hidden_sitecustomize() -> None:
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


def _start_tracing() -> None:
    try:
        from qualitrace.launchers import stay_first
        from qualitrace.lifecycle import init_at_first_span
    except ImportError as error:
        sys.stderr.write(f"qualitrace: {sys.executable} is not traced: {error}\n")
        return
    init_at_first_span()
    stay_first()


sys.path[:] = [path for path in sys.path if path != HERE]
try:
    _run_hidden_sitecustomize()
finally:
    _start_tracing()
