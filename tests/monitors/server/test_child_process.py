"""A child process: it ends with its block, is killed with its own children, and is started again when it fails."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from tenacity.wait import wait_none

from qualitrace_collector.process.watchdog import Watch
from qualitrace_monitors.server.child_process import ChildProcess
from support.waiting import eventually

FOREVER = "print('ready', flush=True); import threading; threading.Event().wait()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "


def child_running(
    code: str, folder: Path, stop_seconds: float = 10, silence_seconds: float | None = None
) -> ChildProcess:
    """Return a child, not yet started, that runs Python code; what it prints is in the file `output`."""
    command = [sys.executable, "-c", code]
    return ChildProcess("the child", command, stop_seconds, silence_seconds=silence_seconds, output=folder / "output")


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
        child.keep_running()
        assert child.pid == first is not None
        os.kill(first, 9)
        eventually(lambda: child.keep_running() or child.pid not in (None, first))


def test_crashes_in_a_row_are_followed_by_longer_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the exit code and the wait: half a second after the first crash, a second after the next."""
    child = child_running("raise SystemExit(3)", tmp_path)
    for _ in range(2):
        child.start()
        eventually(lambda: child.exit_code is not None)
        child.keep_running()
        assert child.pid is None
    waits = ["0.5 s", "1 s"]
    assert caplog.messages == [f"the child ended with code 3; starting it again in {wait}" for wait in waits]


def test_a_start_that_the_system_refuses_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As for lack of memory: nothing is raised that would end the other processes, and no descriptor is left open."""
    monkeypatch.setattr("qualitrace_monitors.server.child_process.RESTART_WAIT", wait_none())
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o700)
    with ChildProcess("the child", [str(program)], 10) as child:
        os.kill(child.pid or 0, signal.SIGKILL)
        away = program.rename(tmp_path / "away")
        eventually(lambda: child.keep_running() or len(caplog.messages) > 1)
        descriptors = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            child.keep_running()
            assert "the child cannot be started" in caplog.messages[-1]
        assert len(os.listdir("/proc/self/fd")) == descriptors
        away.rename(program)
        child.keep_running()
        assert child.pid is not None


BEATING = """
import os, sys, threading
from qualitrace_collector.process import watchdog
watchdog.BEAT_SECONDS = 0.05
watchdog.show_stacks_on_signal()
watchdog.tell_alive_in_a_thread()
print(os.getpid(), *watchdog.restart_counts("the child"), flush=True)
"""
STUCK = "import re\ndef look_for_ever():\n    re.match('(a+)+b', 'a' * 50)\nlook_for_ever()"  # holds Python's lock


def test_a_child_that_lives_is_left_alone(tmp_path: Path) -> None:
    """It waits for ever, as for a locked database, and is not killed, since it gives signs of life."""
    with child_running(BEATING + FOREVER, tmp_path, silence_seconds=3.0) as child:
        first, looks_until = child.pid, time.monotonic() + 4
        eventually(lambda: child.keep_running() or time.monotonic() > looks_until)
        assert child.pid == first
        assert child.exit_code is None


@pytest.mark.parametrize("how", ["stopped", "stuck"])
def test_a_child_that_hangs_is_killed_and_started_again(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether a signal stopped it or it is stuck in a library's code: the next one knows why it was started."""
    monkeypatch.setattr("qualitrace_monitors.server.child_process.RESTART_WAIT", wait_none())
    monkeypatch.setattr("qualitrace_monitors.server.child_process.STACKS_SECONDS", 1.0)
    child = child_running(BEATING + (FOREVER if how == "stopped" else STUCK), tmp_path, silence_seconds=1.0)
    with child:
        eventually(lambda: child.keep_running() or printed(tmp_path))
        assert child.pid is not None
        if how == "stopped":
            os.kill(child.pid, signal.SIGSTOP)
        eventually(lambda: child.keep_running() or "hang')" in printed(tmp_path))
    assert "the child hangs: it gave no sign of life for 1 s and is killed" in caplog.messages[0]
    assert "('process_restarts', 'the child hang')" in (tmp_path / "output").read_text()
    assert ("look_for_ever" in (tmp_path / "output").read_text()) == (how == "stuck")


def test_a_child_has_longer_for_its_first_sign_of_life(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Loading a program takes its time on a busy machine; what gives none by then hangs, too."""
    with child_running(FOREVER, tmp_path, silence_seconds=0.2) as child:
        began = time.monotonic()
        assert eventually(child.end_if_hanging)
        assert time.monotonic() - began >= 0.8
    assert caplog.messages[0].startswith("the child hangs: it gave no sign of life for 0.8 s")


def test_time_in_which_the_supervisor_did_not_run_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an hour in which the whole service was stopped, a child has as long as ever to show that it lives."""
    watch = Watch()
    for seconds in (0.2, 3600.0):
        later = time.monotonic() + seconds
        monkeypatch.setattr(time, "monotonic", lambda later=later: later)
        watch.look()
    assert 0.2 <= watch.silence <= 1.3
    os.write(watch.child_end, b".")
    watch.look()
    assert watch.silence == 0
