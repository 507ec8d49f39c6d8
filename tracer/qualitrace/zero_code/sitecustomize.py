"""Starts tracing as the interpreter starts: `qualitrace run` puts this folder first on PYTHONPATH.

Every Python process that the command starts is traced too. The environment's own `sitecustomize`, which
this one hides, is run first.
"""

import importlib.util
import os
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
        import qualitrace
        from qualitrace.settings import current_settings, variable
    except ImportError as error:
        sys.stderr.write(f"qualitrace: {sys.executable} is not traced: {error}\n")
        return
    qualitrace.init()
    # A worker process without a script of its own (multiprocessing's spawn) belongs to the same service.
    os.environ.setdefault(variable("service_name"), current_settings().service_name)


sys.path[:] = [path for path in sys.path if path != HERE]
try:
    _run_hidden_sitecustomize()
finally:
    _start_tracing()
