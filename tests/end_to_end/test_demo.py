"""The main job by itself, as `make demo` runs it."""

import subprocess
from pathlib import Path

from support.serving import QUALITRACE, environment


def test_the_demo_works(tmp_path: Path):
    """Exit code 0 says that groundedness fell, the alert fired and resolved, and every answer was accounted for."""
    done = subprocess.run(
        [*QUALITRACE, "demo"], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "FIRING" in done.stdout
    assert "RESOLVED" in done.stdout
