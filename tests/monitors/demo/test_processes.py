"""The demo's processes: they end with it, and a dead one is told with the end of its log."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from qualitrace_collector.config.load import parse_config
from qualitrace_monitors.demo.failure import DemoFailed
from qualitrace_monitors.demo.load import Customers
from qualitrace_monitors.demo.processes import Child, clean_environment
from qualitrace_monitors.demo.stage import ALERT, Inbox, Stage, configuration, make_directory

FOREVER = "import threading; print('ready'); threading.Event().wait()"


def _child(tmp_path: Path, code: str) -> Child:
    return Child("the child", [sys.executable, "-c", code], tmp_path / "child.log", clean_environment())


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_child_ends_with_the_block(tmp_path: Path) -> None:
    """A child lives inside the block and is gone after it, even when the block raises."""
    with pytest.raises(ZeroDivisionError), _child(tmp_path, FOREVER) as child:  # noqa: PT012
        child.check()
        assert _is_alive(child.pid)
        _ = 1 / 0
    assert not _is_alive(child.pid)


def test_stubborn_child_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that ignores SIGTERM is killed after its grace period."""
    monkeypatch.setattr("qualitrace_monitors.demo.processes.STOP_SECONDS", 0.1)
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + FOREVER
    with _child(tmp_path, stubborn) as child:
        child.wait_until(lambda: "ready" in child.log_tail(), 20, time.sleep)
    assert not _is_alive(child.pid)


def test_dead_child_is_told_with_its_log(tmp_path: Path) -> None:
    """Waiting for a child that ends fails at once, with its name, its status and its last words."""
    with (
        _child(tmp_path, "import sys; print('port is taken'); sys.exit(3)") as child,
        pytest.raises(DemoFailed, match=r"(?s)the child ended with status 3.*child\.log.*port is taken"),
    ):
        child.wait_until(lambda: False, 20, time.sleep)


def test_unready_child_fails_after_its_time(tmp_path: Path) -> None:
    """A child that lives but never gets ready fails after the given seconds of pauses."""
    pauses: list[float] = []
    with (
        _child(tmp_path, FOREVER) as child,
        pytest.raises(DemoFailed, match="the child was not ready within 2 s"),
    ):
        child.wait_until(lambda: False, 2, pauses.append)
    assert sum(pauses) == pytest.approx(2)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot tie a child to its parent")
def test_child_dies_when_the_demo_is_killed(tmp_path: Path) -> None:
    """Even SIGKILL on the parent leaves no child behind."""
    parent_code = f"""
import pathlib, sys, threading
from qualitrace_monitors.demo.processes import Child, clean_environment
with Child("c", [sys.executable, "-c", {FOREVER!r}], pathlib.Path({str(tmp_path / "log")!r}), clean_environment()) as c:
    c.wait_until(lambda: "ready" in c.log_tail(), 20, threading.Event().wait)
    print(c.pid, flush=True)
    threading.Event().wait()
"""
    with subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 20
    while _is_alive(pid) and not _is_zombie(pid):
        assert time.monotonic() < deadline, "the child outlived its parent"
        threading.Event().wait(0.02)


def _is_zombie(pid: int) -> bool:
    """Whether it is dead, and only waits to be reaped by whoever inherited it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_environment_is_rid_of_what_would_redirect_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings for another collector, key or MLflow do not reach the children; others and ours do."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "QUALITRACE_ENDPOINT", "OPENAI_API_KEY", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("LANG", "C.UTF-8")
    environment = clean_environment(OPENAI_API_KEY="ours")
    assert "elsewhere" not in environment.values()
    assert (environment["LANG"], environment["OPENAI_API_KEY"]) == ("C.UTF-8", "ours")


def test_configuration_is_one_that_the_server_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generated file passes the server's checks, judges every trace, and tells the demo's receiver."""
    monkeypatch.setenv("QUALITRACE_DEMO_SECRET", "whsec_c2VjcmV0")
    ports = {"otlp_http": 1, "otlp_grpc": 2, "web": 3}
    config = parse_config(configuration(tmp_path, ports, "http://127.0.0.1:4/alerts"))
    assert config.sampling.rate == 1.0
    assert (config.alerts[0].name, config.alerts[0].notify) == (ALERT, ("demo",))
    assert config.listen.web == "127.0.0.1:3"
    secret = config.notify["demo"].secret
    assert secret is not None
    assert secret.get_secret_value() == "whsec_c2VjcmV0"


def test_directory_is_made_anew_but_nobody_elses(tmp_path: Path) -> None:
    """An earlier demo's directory is emptied; one that no demo made is refused and left alone."""
    directory = tmp_path / "demo"
    make_directory(directory)
    assert directory.stat().st_mode & 0o777 == 0o700
    (directory / "thesis.txt").write_text("mine")
    with pytest.raises(DemoFailed, match="no demo made it"):
        make_directory(directory)
    assert (directory / "thesis.txt").exists()
    (directory / "qualitrace-demo.yaml").write_text("{}")
    make_directory(directory)
    assert list(directory.iterdir()) == []


def test_foreign_directory_fails_the_demo_with_the_mend(tmp_path: Path) -> None:
    """The command exits with 1 and one line that says what is in the way and what to do, before it starts anything."""
    (tmp_path / "qualitrace-demo").mkdir()
    command = [sys.executable, "-m", "qualitrace", "demo"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    [line] = ended.stdout.splitlines()
    assert "FAILED" in line
    assert "move it away" in line


def test_silent_server_fails_the_demo(tmp_path: Path) -> None:
    """A server that does not answer is told with the address that was asked."""
    child = _child(tmp_path, "")
    with httpx.Client(trust_env=False) as http:
        stage = Stage("http://127.0.0.1:9", "http://127.0.0.1:9", child, child, Inbox(), http)
        with pytest.raises(DemoFailed, match=r"GET http://127\.0\.0\.1:9/metrics failed"):
            stage.metrics()


def test_unanswered_question_fails_the_demo() -> None:
    """A question that gets no answer is not counted as answered, and is told with its reason."""
    with Customers("http://127.0.0.1:9", ["Are dogs welcome?"], pace=100) as customers:
        assert "'Are dogs welcome?': [Errno" in _failure_of(customers)
    assert customers.answered == 0


def _failure_of(customers: Customers) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            customers.check()
        except DemoFailed as failure:
            return str(failure)
        threading.Event().wait(0.01)
    return "none within 20 s"
