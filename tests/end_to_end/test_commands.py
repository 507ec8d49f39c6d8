"""`qualitrace serve` and `check-config` as a user meets them."""

import json
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

from support import plain_http
from support.mlflow_db import new_database
from support.otlp import rag_trace, request
from support.ports import free_port
from support.serving import QUALITRACE, Server, environment
from support.waiting import eventually


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*QUALITRACE, *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        umask=0o022,
    )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one server for the module, whose ports and data others must not take, in a folder that all may read."""
    server = Server(tmp_path_factory.mktemp("running"), judges=["relevance"])
    (data := server.folder / "data").mkdir()
    new_database(data)
    (data / "artifacts").mkdir()
    for path in (data, data / "artifacts"):
        path.chmod(0o755)
    (data / "mlflow.db").chmod(0o644)
    try:
        yield server.start()
    finally:
        server.stop()


def test_serve_starts_from_nothing_logs_in_json_and_stops_cleanly(serve: Callable[..., Server]):
    """One line names the doors, the web port and MLflow; the data is private; SIGTERM leaves no process behind.

    A proxy in the environment is not asked for the server's own loopback port. Every line of every process is JSON: a
    refused reload, a restart, and the ready line.
    """
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    server = serve(empty=True, judges=[], variables=proxy | {"QUALITRACE_LOG_FORMAT": "json"})
    (ready,) = map(json.loads, server.lines)
    assert (ready["level"], ready["logger"]) == ("INFO", "qualitrace")
    assert ready["message"] == (
        f"qualitrace ready: version {version('qualitrace')}, OTLP/HTTP {server.http}, OTLP/gRPC {server.grpc}, web http://{server.web}, "
        f"MLflow {server.tracking_uri}"
    )
    assert plain_http.get(f"http://{server.web}/healthz").text == "ok"
    assert plain_http.get(f"http://{server.web}/readyz").status_code == 200
    assert (server.folder / "data").stat().st_mode & 0o077 == 0
    server.config_path.write_text("sampling: {rate: 3}")
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    log = server.folder / "serve.log"
    eventually(lambda: "is refused" in log.read_text())
    killed = server.children()["work"]
    server.kill("work")
    eventually(lambda: "starting it again" in log.read_text())
    eventually(lambda: server.children().get("work") not in (None, killed))
    pids = server.children()
    assert set(pids) == {"receive", "work"}
    assert server.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids.values())
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert any("must be at most 1" in line["message"] for line in lines)


def test_a_refused_start_is_told_in_the_form_of_the_log(tmp_path: Path):
    """With every mistake, and nothing else: as text, or as JSON."""
    (tmp_path / "bad.yaml").write_text("sampling: {rate: 3}")
    text = run("serve", "--config", "bad.yaml", cwd=tmp_path)
    assert (text.returncode, text.stderr) == (1, "bad.yaml: sampling.rate: must be at most 1 (got 3)\n")
    lines = run("serve", "--config", "bad.yaml", "--log-format", "json", cwd=tmp_path)
    (line,) = map(json.loads, lines.stderr.splitlines())
    assert (lines.returncode, line["level"], line["message"]) == (1, "CRITICAL", text.stderr.strip())


def test_files_are_private_in_a_folder_that_was_there_before(running: Server):
    """A 0755 folder with a database that all may read, and umask 022: nothing in it stays open to others."""
    spans = rag_trace(1, question="Is it open?", answer="It is open.", passages=["It is open."])
    assert running.send(request(spans).SerializeToString()).status_code == 200
    eventually(lambda: running.sample("qualitrace_evaluations_total") >= 1)
    data = running.folder / "data"
    found = {str(path): oct(path.lstat().st_mode) for path in [data, *data.rglob("*")]}
    assert {Path(name).name for name in found} >= {"mlflow.db", "state.db-wal", "journal.db"}
    assert [f"{name} {mode}" for name, mode in found.items() if int(mode, 8) & 0o077] == []


def test_what_a_command_writes_is_private(tmp_path: Path):
    """The scores of `qualitrace judge` quote what was judged."""
    (tmp_path / "rows.jsonl").write_text('{"input": "Is it open?", "output": "I cannot answer that."}\n')
    done = run("judge", "--metric", "refusal", "--data", "rows.jsonl", "--output", "scores.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "scores.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_taken_port_ends_serve_with_the_address(tmp_path: Path):
    """One line that names the setting, exit code 1, and no process left behind."""
    server = Server(tmp_path)
    with socket.create_server(("127.0.0.1", int(server.http.rpartition(":")[2]))):
        done = run("serve", "--config", str(server.config_path), cwd=tmp_path)
    assert done.returncode == 1
    assert f"otlp_http {server.http}: address already in use" in done.stderr


def test_another_server_on_the_web_port_is_not_taken_for_ours(running: Server, tmp_path: Path):
    """It answers that it is ready; the second server still ends with the address, exit code 1, and no ready line."""
    second = Server(tmp_path, judges=[])
    second.config["listen"]["web"] = running.web
    second.config_path.write_text(json.dumps(second.config))
    done = run("serve", "--config", str(second.config_path), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"web {running.web}: address already in use" in done.stderr


def test_two_servers_do_not_share_a_data_directory(running: Server, tmp_path: Path):
    """The second one ends at once with the folder and the remedy, although its ports are free."""
    second = Server(tmp_path, judges=[], data_dir=running.config["data_dir"])
    done = run("serve", "--config", str(second.config_path), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"qualitrace: data_dir {running.config['data_dir']}: another qualitrace collector runs on it; "
        "stop that one, or set another data_dir\n"
    )


def test_a_bad_configuration_ends_serve_before_anything_starts(tmp_path: Path):
    """Every mistake is reported, and no data directory is made."""
    (tmp_path / "bad.yaml").write_text("sampling: {rate: 3}\nmlflo: {}\n")
    done = run("serve", "--config", "bad.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "bad.yaml: sampling.rate: must be at most 1 (got 3)",
        "bad.yaml: unknown key 'mlflo', did you mean 'mlflow'?",
    ]
    assert not (tmp_path / "qualitrace-data").exists()


def test_check_config(tmp_path: Path):
    """Exit code 0 and `ok` for a good file, 1 and the mistakes for a bad one."""
    (tmp_path / "good.yaml").write_text("sampling: {rate: 0.5}\n")
    (tmp_path / "bad.yaml").write_text("sampling: {rat: 0.5}\n")
    good, bad = run("check-config", "good.yaml", cwd=tmp_path), run("check-config", "bad.yaml", cwd=tmp_path)
    assert (good.returncode, good.stdout) == (0, "good.yaml: ok\n")
    assert (bad.returncode, bad.stderr) == (1, "bad.yaml: sampling: unknown key 'rat', did you mean 'rate'?\n")


def test_collector_and_monitor_run_alone_on_one_data_directory(tmp_path: Path):
    """The collector queues what the monitor, in a process of its own with its own web port, judges."""
    collector = Server(tmp_path, judges=["relevance"])
    monitor_config = collector.config | {"listen": collector.config["listen"] | {"web": f"127.0.0.1:{free_port()}"}}
    (tmp_path / "monitor.yaml").write_text(json.dumps(monitor_config))
    processes = [
        subprocess.Popen([*QUALITRACE, part, "--config", path], cwd=tmp_path, env=environment())
        for part, path in (("collector", str(collector.config_path)), ("monitor", "monitor.yaml"))
    ]
    try:
        eventually(lambda: _ready(collector.web) and _ready(monitor_config["listen"]["web"]), timeout=90)
        spans = rag_trace(1, question="How long?", answer="24 months.", passages=["It lasts 24 months."])
        collector.send(request(spans).SerializeToString())
        eventually(lambda: collector.sample("qualitrace_judgements_total", outcome="scored") == 1)
    finally:
        for process in processes:
            process.terminate()
        assert [process.wait(10) for process in processes] == [0, 0]


def _ready(web: str) -> bool:
    try:
        return plain_http.get(f"http://{web}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_the_supervisor_stays_light():
    """It only starts and watches processes: it must not load what takes long and much memory."""
    code = "import sys, qualitrace_monitors.server.supervise; sys.exit(bool({'mlflow', 'scipy'} & {*sys.modules}))"
    assert subprocess.run([QUALITRACE[0], "-c", code], check=False).returncode == 0
