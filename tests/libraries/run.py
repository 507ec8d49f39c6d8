"""Runs the applications, each in an environment of its own, and records what they send.

`python -m libraries.run [NAME ...] [--environments FOLDER]`; without names all of them.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from libraries.expectation import mistakes, seen
from libraries.providers.server import provider
from support.listening import listening
from support.places import forget_places

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
APPS = HERE / "apps"
RECORDINGS = HERE / "recordings"
RUN_SECONDS = 180
_METADATA = re.compile(r"^# /// script\n((?:#.*\n)*?)# ///$", re.MULTILINE)


class Received:
    """An OTLP/HTTP receiver that keeps the requests of traces, as one."""

    def __init__(self) -> None:
        self.request = ExportTraceServiceRequest()

    def take(self, body: bytes) -> None:
        self.request.MergeFrom(ExportTraceServiceRequest.FromString(body))


@contextmanager
def receiver() -> Iterator[tuple[str, Received]]:
    """Serve on loopback in the block; return the endpoint, and what came."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    with listening(Handler) as address:
        yield address, received


def requirements(app: Path) -> list[str]:
    """Return the requirements in the head of an application."""
    match = _METADATA.search(app.read_text())
    assert match, f"{app}: no inline script metadata"
    return tomllib.loads(re.sub(r"^# ?", "", match[1], flags=re.MULTILINE))["dependencies"]


def expectations(app: Path) -> dict[str, dict[str, Any]]:
    """Return what a judge is to see, by scenario."""
    return json.loads(app.with_suffix(".json").read_text())


def environment(app: Path, folder: Path) -> Path:
    """Make, or bring up to date, the environment of an application; return its `bin`."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    assert uv, "uv is missing: pip install uv"
    place = folder / app.stem
    if not place.exists():
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(place)], check=True)
    given = [part.replace("{project}", str(PROJECT)) for part in requirements(app)]
    editable = f"{PROJECT}[{app.stem}]" if _has_extra(app.stem) else str(PROJECT)
    command = [uv, "pip", "install", "-q", "--python", str(place / "bin" / "python"), "-e", editable, *given]
    subprocess.run(command, check=True)
    return place / "bin"


def _has_extra(name: str) -> bool:
    return name in tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def run(app: Path, scenario: str, binaries: Path, llm: str) -> tuple[ExportTraceServiceRequest, str]:
    """Run one scenario; return what it sent, and what went wrong or was said."""
    program = f"import runpy; runpy.run_path({str(app)!r})[{scenario!r}]()"  # by path: an app is named like its library
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "QUALITRACE_", "PYTHON"))
    }
    with receiver() as (endpoint, received), tempfile.TemporaryDirectory() as folder:
        start = [str(binaries / "qualitrace"), "run", "--service-name", app.stem, "--endpoint", endpoint]
        done = subprocess.run(
            [*start, "--", str(binaries / "python"), "-c", program],
            env={**kept, "LLM": llm, "HOME": folder, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
    said = [line for line in done.stderr.splitlines() if "traced" in line or "refused" in line]
    if done.returncode:
        said.append(f"exit code {done.returncode}: {done.stderr[-1500:]}")
    return received.request, "\n".join(said)


def report(name: str, scenario: str, expected: dict[str, Any], samples: list[dict[str, Any]], said: str) -> bool:
    """Print a scenario's line; return whether it is wrong."""
    found = mistakes(expected, samples) + ([said] if said else [])
    print(f"{name:20} {scenario:20} {'right' if not found else '; '.join(found)}", flush=True)
    return bool(found)


def main() -> int:
    """Print one line for each scenario; exit with 1 if one is wrong."""
    parser = argparse.ArgumentParser(prog="libraries.run")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--environments", type=Path, default=PROJECT / ".venv-libraries")
    arguments = parser.parse_args()
    apps = [APPS / f"{name}.py" for name in arguments.names] or sorted(APPS.glob("*.py"))
    wrong = 0
    RECORDINGS.mkdir(exist_ok=True)
    with provider() as llm:
        for app in apps:
            binaries = environment(app, arguments.environments)
            for scenario, expected in expectations(app).items():
                sent, said = run(app, scenario, binaries, llm)
                forget_places(sent)
                (RECORDINGS / f"{app.stem}__{scenario}.otlp.pb").write_bytes(sent.SerializeToString())
                wrong += report(app.stem, scenario, expected, seen(sent), said)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
