"""One virtual environment for each tracer, made by uv and kept."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tracer.peers import APPLICATION, Peer

DEFAULT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qualitrace-benchmarks"


def python_of(peer: Peer, folder: Path) -> Path:
    """Return the interpreter of the environment in `folder`, which is made or brought up to date.

    Raises:
        FileNotFoundError: uv is not installed.
        subprocess.CalledProcessError: it found no versions that fit, or no package index.
    """
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        raise FileNotFoundError("uv is missing: pip install uv")
    place = folder / peer.environment
    python = place / "bin" / "python"
    if not python.exists():
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(place)], check=True)
    # All call by the same release of the client, also a tracer that asks for an older one.
    client = place / "client.txt"
    client.write_text(APPLICATION)
    # The newest versions in the first run; later runs leave what is there and fits.
    install = [uv, "pip", "install", "-q", "--python", str(python), "--override", str(client)]
    subprocess.run([*install, APPLICATION, *peer.requirements], check=True)
    return python
