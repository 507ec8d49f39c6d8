"""Programs that start the app in their place, such as `opentelemetry-instrument` and `ddtrace-run`.

They put a `sitecustomize` of their own first on PYTHONPATH, which would hide ours from the app. Ours runs theirs.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wrapt

from qualitrace.quiet import never_raises
from qualitrace.settings import current_settings, variable

_HERE = str(Path(__file__).parent / "zero_code")
_NAME = variable("service_name")


@never_raises
def stay_first() -> None:
    """Let ours be first on PYTHONPATH for every program that this process starts or becomes."""
    os.environ.update(_ours_first(os.environ))
    name_is_given = _NAME in os.environ
    # A worker process without a script of its own (multiprocessing's spawn) belongs to the same service.
    os.environ.setdefault(_NAME, current_settings().service_name)

    def before(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Take what was put first meanwhile into account; the next program has a name of its own."""
        if not name_is_given:
            os.environ.pop(_NAME, None)
        os.environ.update(_ours_first(os.environ))
        if len(args) > 2:
            args = (*args[:2], _renamed(_ours_first(args[2]), name_is_given), *args[3:])
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper(os, "execv", before)
    wrapt.wrap_function_wrapper(os, "execve", before)


def _ours_first(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with our folder first on its PYTHONPATH, if it is there at all."""
    paths = environ.get("PYTHONPATH", "").split(os.pathsep)
    if _HERE not in paths:
        return dict(environ)
    return {**environ, "PYTHONPATH": os.pathsep.join([_HERE, *(path for path in paths if path != _HERE)])}


def _renamed(environ: dict[str, str], name_is_given: bool) -> dict[str, str]:
    return environ if name_is_given else {key: value for key, value in environ.items() if key != _NAME}
