"""Runs the applications, each with packages of its own, and records what they send.

`python -m javascript.run [NAME ...] [--environments FOLDER]`; without names all of them.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from libraries.expectation import seen
from libraries.providers.server import provider
from libraries.run import PROJECT, RUN_SECONDS, report
from support.node import NODE, install
from support.places import forget_places
from support.receiving import Receiver, receive_config, receiving

HERE = Path(__file__).parent
APPS = sorted(path.parent for path in HERE.glob("*/app.mjs"))
RECORDINGS = HERE / "recordings"
PAGE = PROJECT / "docs" / "how-to" / "javascript.md"
SHOWN = {name: text for text, name in re.findall(r"```js\n(// (\S+\.mjs)\n.*?)```", PAGE.read_text(), re.DOTALL)}
"""The modules that the page shows, by the name in their first line: applications import them."""


@dataclass
class Sent:
    """What an application sent, each signal as one request."""

    traces: ExportTraceServiceRequest = field(default_factory=ExportTraceServiceRequest)
    logs: ExportLogsServiceRequest = field(default_factory=ExportLogsServiceRequest)

    @classmethod
    def recorded(cls, name: str, scenario: str) -> "Sent":
        """Read a recording."""
        sent = cls()
        for path, signal in sent._files(name, scenario):
            if path.exists():
                signal.ParseFromString(path.read_bytes())
        return sent

    def record(self, name: str, scenario: str) -> None:
        """Write a recording: a file for each signal that came."""
        for path, signal in self._files(name, scenario):
            path.unlink(missing_ok=True)
            forget_places(signal)
            if payload := signal.SerializeToString():
                path.write_bytes(payload)

    def _files(self, name: str, scenario: str) -> list[tuple[Path, Message]]:
        ends = (("otlp", self.traces), ("logs", self.logs))
        return [(RECORDINGS / f"{name}__{scenario}.{end}.pb", signal) for end, signal in ends]


def expectations(app: Path) -> dict[str, dict[str, Any]]:
    """Return what a judge is to see, by scenario."""
    return json.loads((app / "expected.json").read_text())


def environment(app: Path, folder: Path) -> Path:
    """Make, or bring up to date, the folder in which an application runs; return it."""
    place = folder / app.name
    install(app, place)
    for name, text in SHOWN.items():
        (place / name).write_text(text)
    shutil.copy(app / "app.mjs", place)
    return place


def run(place: Path, scenario: str, llm: str) -> tuple[Sent, str]:
    """Run one scenario; return what it sent, and what went wrong or was said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "NODE_", "OPENAI_"))}
    with tempfile.TemporaryDirectory() as folder, receiving(receive_config(Path(folder))) as collector:
        done = subprocess.run(
            [NODE, "--stack-trace-limit=0", "app.mjs", scenario],  # stacks and resource would show where it ran
            env=kept
            | {
                "OTEL_SERVICE_NAME": place.name,
                "OTEL_NODE_RESOURCE_DETECTORS": "env",
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.http}",
                "OPENAI_BASE_URL": f"{llm}/v1",
                "OPENAI_API_KEY": "k",
                "MASTRA_TELEMETRY_DISABLED": "1",
            },
            cwd=place,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        sent = sent_to(collector)
    said = (done.stdout + done.stderr)[-1500:].strip()
    return sent, f"exit code {done.returncode}: {said}" if done.returncode else said


def sent_to(collector: Receiver) -> Sent:
    """Return what is in a collector's journal."""
    sent = Sent()
    for entry in collector.journal.read(0, 1000, 1 << 30):
        (sent.traces if entry.signal == "traces" else sent.logs).MergeFromString(entry.payload)
    return sent


def main() -> int:
    """Print one line for each scenario; exit with 1 if one is wrong."""
    parser = argparse.ArgumentParser(prog="javascript.run")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--environments", type=Path, default=PROJECT / ".venv-libraries" / "javascript")
    arguments = parser.parse_args()
    apps = [HERE / name for name in arguments.names] or APPS
    wrong = 0
    RECORDINGS.mkdir(exist_ok=True)
    with provider() as llm:
        for app in apps:
            place = environment(app, arguments.environments)
            for scenario, expected in expectations(app).items():
                sent, said = run(place, scenario, llm)
                sent.record(app.name, scenario)
                wrong += report(app.name, scenario, expected, seen(sent.traces, sent.logs), said)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
