"""A child process: it ends with its block, is killed with its own children, and is started again after a crash."""

import os
import sys
from pathlib import Path

import pytest
from tenacity.wait import wait_none

from qualitrace_monitors.server.child_process import ChildProcess
from support.waiting import eventually

FOREVER = "print('ready', flush=True); import threading; threading.Event().wait()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "


def child_running(code: str, folder: Path, stop_seconds: float = 10) -> ChildProcess:
    """Return a child, not yet started, that runs Python code; what it prints is in the file `output`."""
    return ChildProcess("the child", [sys.executable, "-c", code], stop_seconds, output=folder / "output")


def printed(folder: Path) -> list[str]:
    """Return the lines that the child printed, once there are any."""
    return eventually(lambda: (folder / "output").read_text().split())


def is_alive(pid: int) -> bool:
    """Whether a process of ours or of `init` runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_child_ends_with_the_block(tmp_path: Path) -> None:
    """The child runs inside the block and has ended after it, even if the block raises."""
    child = child_running(FOREVER, tmp_path)
    with pytest.raises(ZeroDivisionError), child:  # noqa: PT012
        assert child.exit_code is None
        _ = 1 / 0
    assert child.exit_code is not None


def test_stubborn_child_is_killed_with_what_it_started(tmp_path: Path) -> None:
    """A child that ignores SIGTERM is killed after its time, and so is its own child."""
    own = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {STUBBORN + FOREVER!r}]).pid); "
    with child_running(STUBBORN + own + FOREVER, tmp_path, stop_seconds=0.1):
        grandchild = int(eventually(lambda: [word for word in printed(tmp_path) if word.isdecimal()])[0])
        eventually(lambda: len(printed(tmp_path)) == 3)
        assert is_alive(grandchild)
    eventually(lambda: not is_alive(grandchild))


def test_child_that_ended_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that crashes runs again as another process; one that runs is left alone."""
    monkeypatch.setattr("qualitrace_monitors.server.child_process.RESTART_WAIT", wait_none())
    with child_running(f"import os; print(os.getpid()); {FOREVER}", tmp_path) as child:
        eventually(lambda: len(printed(tmp_path)) == 2)
        first = child.pid
        child.restart_if_ended()
        assert child.pid == first is not None
        os.kill(first, 9)
        eventually(lambda: child.restart_if_ended() or child.pid not in (None, first))


def test_crashes_in_a_row_are_followed_by_longer_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the exit code and the wait: half a second after the first crash, a second after the next."""
    child = child_running("raise SystemExit(3)", tmp_path)
    for _ in range(2):
        child.start()
        eventually(lambda: child.exit_code is not None)
        child.restart_if_ended()
        assert child.pid is None
    waits = ["0.5 s", "1 s"]
    assert caplog.messages == [f"the child ended with code 3; starting it again in {wait}" for wait in waits]
