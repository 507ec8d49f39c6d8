"""Who may use a data_dir: one supervisor of a part at a time, and after a killed one its successor."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qualitrace_monitors.server import data_dir_lock
from qualitrace_monitors.server.data_dir_lock import DataDirError, lock_data_dir

SUPERVISOR = """
import subprocess, sys
from pathlib import Path
from qualitrace_monitors.server.data_dir_lock import lock_data_dir
locks = lock_data_dir(Path(sys.argv[1]), ["collector"])
child = subprocess.Popen(["cat"], pass_fds=locks)
print("locked", flush=True)
child.wait()
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a supervisor that holds the locks, and has a child that ends when the supervisor's input is closed."""
    command = [sys.executable, "-c", SUPERVISOR, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield process
        process.kill()


def test_a_running_supervisor_refuses_others_at_once(supervisor: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """The error names the folder and the remedy; another part may run on the folder."""
    with pytest.raises(DataDirError, match=f"{tmp_path}: another qualitrace collector runs on it; stop that one"):
        lock_data_dir(tmp_path, ["collector"])
    assert len(lock_data_dir(tmp_path, ["monitor"])) == 1


def test_the_successor_of_a_killed_supervisor_waits_for_its_processes(
    supervisor: subprocess.Popen[bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on once they have ended, and the log says what it waits for."""
    supervisor.kill()
    command = [sys.executable, "-c", SUPERVISOR, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as next_one:
        assert next_one.stderr is not None
        assert b"waiting for what a qualitrace collector that was killed left running" in next_one.stderr.readline()
        assert supervisor.stdin is not None
        supervisor.stdin.close()  # ends the child
        assert next_one.stdout is not None
        assert next_one.stdout.readline() == b"locked\n"


def test_what_does_not_end_is_named(
    supervisor: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while the start fails, and says how to find the process."""
    monkeypatch.setattr(data_dir_lock, "PREDECESSOR_SECONDS", 0.3)
    supervisor.kill()
    supervisor.wait()
    with pytest.raises(DataDirError, match=rf"has not ended for 0.3 s; kill it \(fuser {tmp_path}/collector.lock"):
        lock_data_dir(tmp_path, ["collector"])
