"""The files in `static/`, as they were when this process started.

An upgrade replaces them on disk some time before the server starts again, and they belong to templates and code.
"""

import hashlib
import mimetypes
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_FOLDER = Path(__file__).parent / "static"
_FILES = {path.relative_to(_FOLDER).as_posix(): path.read_bytes() for path in _FOLDER.rglob("*") if path.is_file()}
_VERSIONS = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in _FILES.items()}

ASSETS = hashlib.sha256("".join(_VERSIONS[name] for name in sorted(_FILES)).encode()).hexdigest()[:12]
"""What is another one when any of the files is."""


def version(name: str) -> str:
    """Return what stands in the address of a file in `static/`, and changes with it, so that browsers may keep it."""
    return _VERSIONS[name]


async def static_file(request: Request) -> Response:
    """Answer a request for a file in `static/`.

    Raises:
        HTTPException: there is none of that name.
    """
    name = request.path_params["name"]
    if name not in _FILES:
        raise HTTPException(404)
    # A page that was open during an upgrade asks for the version that it knows: what it gets is no such file.
    is_that = request.query_params.get("v") == _VERSIONS[name]
    headers = {"Cache-Control": "private, max-age=31536000, immutable"} if is_that else {}
    return Response(_FILES[name], headers=headers, media_type=mimetypes.guess_type(name)[0])
