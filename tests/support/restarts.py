"""Restarts a server under OpenTelemetry's own exporters, and counts seconds without an ack and spans that are lost.

`python -m support.restarts [--restarts 5] [--timeout 60]`
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from support.serving import Server
from support.tally import rows
from support.waiting import eventually

SPANS_PER_SECOND = 50
DELAY_MILLISECONDS = 200
BETWEEN_SECONDS = 5.0
SETTLE_SECONDS = 300.0


class _Timed(SpanExporter):
    """Notes when an exporter was acked, and how many spans it gave up."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.acked_at: list[float] = []
        self.given_up = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.acked_at.append(time.monotonic())
        else:
            self.given_up += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class Application:
    """Makes a trace of one span, `SPANS_PER_SECOND` times a second, with the exporter's and the processor's defaults.

    Only the pause between two exports is shorter than by default, to time acks.
    """

    def __init__(self, name: str, exporter: SpanExporter) -> None:
        self.name = name
        self.made: set[str] = set()
        self.timed = _Timed(exporter)
        self._provider = TracerProvider(resource=Resource({"service.name": name}))
        self._provider.add_span_processor(BatchSpanProcessor(self.timed, schedule_delay_millis=DELAY_MILLISECONDS))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        tracer = self._provider.get_tracer("test")
        while not self._stop.wait(1 / SPANS_PER_SECOND):
            with tracer.start_as_current_span("chat m", attributes={"gen_ai.operation.name": "chat"}) as span:
                self.made.add(f"tr-{span.get_span_context().trace_id:032x}")

    def stop(self) -> None:
        """Make no more, and export what was made."""
        self._stop.set()
        self._thread.join()
        self._provider.shutdown()

    @property
    def longest_gap(self) -> float:
        """Seconds between two acks, at most."""
        return max(after - before for before, after in pairwise(self.timed.acked_at))


@dataclass(frozen=True)
class Outcome:
    """What restarts did to an application.

    Attributes:
        gaps: seconds without an ack around each restart.
        lost: spans that are not in MLflow; `given_up` are those of them that the exporter says it lost.
    """

    name: str
    made: int
    gaps: list[float]
    lost: int
    given_up: int


def restart_run(folder: Path, restarts: int, timeout: float | None) -> list[Outcome]:
    """Restart a server in `folder` under two applications, by SIGTERM and a new start.

    Args:
        timeout: the exporters', in seconds; None for their default.
    """
    server = Server(folder, judges=[]).start()
    applications = [
        Application("http", HttpExporter(f"http://{server.http}/v1/traces", timeout=timeout)),
        Application("grpc", GrpcExporter(server.grpc, insecure=True, timeout=timeout)),
    ]
    gaps: dict[str, list[float]] = {application.name: [] for application in applications}
    try:
        for _ in range(restarts):
            for application, gap in zip(applications, _restart(server, applications), strict=True):
                gaps[application.name].append(gap)
        for application in applications:
            application.stop()
        eventually(
            lambda: rows(folder / "data" / "journal.db", "SELECT requests FROM pending") == [(0,)], SETTLE_SECONDS
        )
    finally:
        server.crash()
    stored = {trace for (trace,) in rows(folder / "data" / "mlflow.db", "SELECT trace_id FROM spans")}
    return [
        Outcome(app.name, len(app.made), gaps[app.name], len(app.made - stored), app.timed.given_up)
        for app in applications
    ]


def _restart(server: Server, applications: Sequence[Application]) -> list[float]:
    """Stop and start the server; return for how long each application was not acked."""
    threading.Event().wait(BETWEEN_SECONDS)
    eventually(lambda: all(application.timed.acked_at for application in applications))
    for application in applications:
        del application.timed.acked_at[:-1]
    began = time.monotonic()
    assert server.stop() == 0
    stopped = time.monotonic()
    server.start()
    ready = time.monotonic()
    eventually(lambda: all(application.timed.acked_at[-1] > stopped for application in applications), timeout=60)
    print(f"stopped in {stopped - began:.1f} s, ready {ready - stopped:.1f} s later", flush=True)
    return [application.longest_gap for application in applications]


def main() -> int:
    """Print the counts; exit with 1 if a span is lost."""
    parser = argparse.ArgumentParser(prog="support.restarts")
    parser.add_argument("--restarts", type=int, default=5)
    parser.add_argument("--timeout", type=float)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qualitrace-restarts-") as folder:
        outcomes = restart_run(Path(folder), arguments.restarts, arguments.timeout)
    for outcome in outcomes:
        gaps = ", ".join(f"{gap:.1f}" for gap in sorted(outcome.gaps))
        print(
            f"{outcome.name}: {outcome.made} spans, {outcome.lost} lost ({outcome.given_up} given up), "
            f"seconds without an ack {gaps}"
        )
    return 1 if any(outcome.lost for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
