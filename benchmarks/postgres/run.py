"""What a PostgreSQL with millions of spans costs: ingest, MLflow's pages and searches, deletion, disk.

    PYTHONPATH=benchmarks:tests python -m postgres.run [--spans 10000000] [--folder FOLDER]

It runs Debian's PostgreSQL, stores 2,000 traces of five spans by `qualitrace serve`, and multiplies their rows. Ten
million spans take some 30 GB of disk, which is checked. With `--folder` the filled database is kept there, and used
again.
"""

import argparse
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from mlflow import MlflowClient

from intake.traces import Template
from machine import environment
from postgres.ingest import START_SECONDS, Ingest, measure_ingest
from postgres.multiply import multiply
from postgres.reading import LONGEST_SECONDS, Request, open_page, search
from postgres.trimming import delete, sizes, vacuum
from qualitrace_collector.mlflow_store.settings import Retention
from support.postgres import Postgres
from support.serving import Server
from support.waiting import eventually

BASE_TRACES = 2_000
BYTES_A_SPAN = 3_000
"""Disk that a span takes with its share of all tables, indexes and the log, with room to spare."""
DAYS = 30.0
SETTINGS = {"shared_buffers": "2GB", "max_wal_size": "4GB"}
EXPERIMENT = "library-helpdesk"


def main() -> None:
    """Fill the database if it is not there, measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long ingest and deletion are measured")
    parser.add_argument("--burst", type=int, default=5_000, help="traces that are sent at once")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qualitrace-bench-")))
        folder.mkdir(mode=0o755, exist_ok=True)
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qualitrace-bench-")))
        filled = (folder / "data").exists()
        if not filled and shutil.disk_usage(folder).free < (needed := arguments.spans * BYTES_A_SPAN):
            sys.exit(f"{folder}: {needed / 1e9:.0f} GB must be free for {arguments.spans:,} spans")
        server = Postgres(folder, settings=SETTINGS).start()
        stack.callback(server.stop, "fast")
        print(environment(sys.argv, folder, ["mlflow", "sqlalchemy", "psycopg"]), flush=True)
        if not filled:
            _fill(server, work / "fill", arguments.spans)
        _measure(server, work, arguments.seconds, arguments.burst)


def _fill(server: Postgres, folder: Path, spans: int) -> None:
    server.execute("CREATE DATABASE mlflow")
    folder.mkdir()
    serve = Server(folder, mlflow={"tracking_uri": f"{server.uri}mlflow"}, sampling={"rate": 0.1})
    serve.launch()
    try:
        eventually(lambda: serve.lines, START_SECONDS)
        for _ in range(0, BASE_TRACES, 100):
            serve.send(Template(0, 100).fresh()).raise_for_status()
        eventually(lambda: serve.sample("qualitrace_traces_total", outcome="stored") == BASE_TRACES, START_SECONDS)
        eventually(lambda: serve.sample("qualitrace_judgements_waiting") == 0, START_SECONDS)
    finally:
        serve.stop()
    started = time.monotonic()
    multiply(lambda *statements: server.execute(*statements, database="mlflow"), spans, DAYS)
    print(f"filled in {time.monotonic() - started:.0f} s", flush=True)


def _measure(server: Postgres, work: Path, seconds: float, burst: int) -> None:
    uri = f"{server.uri}mlflow"

    def execute(*statements: str):
        return server.execute(*statements, database="mlflow")

    print(f"VACUUM (ANALYZE) of all tables: {vacuum(execute):.0f} s", flush=True)
    print("\n| table or index | rows | MB |\n|---|---|---|")
    for name, rows, size, _ in sizes(execute):
        print(f"| `{name}` | {rows or '':,} | {size / 1e6:,.0f} |" if rows else f"| `{name}` | | {size / 1e6:,.0f} |")
    server.execute("DROP DATABASE IF EXISTS empty", "CREATE DATABASE empty")
    print("\n| ingest into | p50 s | p95 s | stored/s |\n|---|---|---|---|", flush=True)
    for name in ("empty", "mlflow", "empty", "mlflow"):  # in turns, because others use the machine, too
        folder = work / f"{name}-{time.monotonic_ns()}"
        folder.mkdir()
        print(_row(name, measure_ingest(server.uri + name, folder, seconds / 2, burst)), flush=True)
    found = MlflowClient(uri).get_experiment_by_name(EXPERIMENT)
    assert found is not None, "the database was filled by something else"
    print("\n| request of MLflow's page | s |\n|---|---|")
    _print(open_page(uri, work, found.experiment_id))
    server.execute(f"ALTER DATABASE mlflow SET statement_timeout = '{LONGEST_SECONDS}s'")
    searches, plans = search(uri, found.experiment_id)
    server.execute("ALTER DATABASE mlflow RESET statement_timeout")
    print("\n| search | s |\n|---|---|")
    _print(searches)
    print("\n" + "\n\n".join(plans), flush=True)
    traces = sum(rows for name, rows, _, _ in sizes(execute) if name == "trace_info")
    for retention in (Retention(days=DAYS - 1), Retention(traces=traces - BASE_TRACES)):
        (folder := work / f"trim-{time.monotonic_ns()}").mkdir()
        deletion = delete(uri, folder, retention, seconds)
        print(f"{retention}: {asdict(deletion)}, {deletion.traces / deletion.seconds:.0f} traces/s", flush=True)
    print(f"VACUUM (ANALYZE) afterwards: {vacuum(execute):.0f} s")


def _row(name: str, ingest: Ingest) -> str:
    return f"| {name} | {ingest.p50:.1f} | {ingest.p95:.1f} | {ingest.stored_per_second:.0f} |"


def _print(requests: list[Request]) -> None:
    for request in requests:
        print(f"| `{request.name}` | {request.seconds:.2f}{' (ended)' if request.failed else ''} |", flush=True)


if __name__ == "__main__":
    main()
