"""Progress of commands: on a terminal, after a while; nowhere else."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys, time
from qualitrace_monitors import progress
progress.QUIET_SECONDS = float(sys.argv[1])
with progress.Progress("judging", int(sys.argv[2]) or None, quiet=sys.argv[3] == "quiet") as shown:
    shown(3)
    while sys.argv[1] == "0" and sys.argv[3] == "" and sys.stderr.isatty() and not shown._bars.live.is_started:
        time.sleep(0.01)
"""


def on_terminal(*arguments: str) -> str:
    """Return what the program writes to a terminal."""
    main, terminal = os.openpty()
    os.set_blocking(main, False)
    command = [sys.executable, "-c", PROGRAM, *arguments]
    subprocess.run(command, stderr=terminal, timeout=60, check=True, env=os.environ | {"TERM": "xterm-256color"})
    try:
        return os.read(main, 65_536).decode()
    except BlockingIOError:
        return ""


@pytest.mark.parametrize(("total", "shown"), [("10", "3/10"), ("0", "3")])
def test_it_is_shown_on_a_terminal_and_vanishes(total: str, shown: str) -> None:
    """With how much there is to do, if that is known."""
    written = on_terminal("0", total, "")
    assert "judging" in written
    assert shown in written
    assert written.endswith(("\x1b[2K", "\x1b[?25h\r\x1b[1A\x1b[2K"))


@pytest.mark.parametrize("arguments", [("60", "10", ""), ("0", "10", "quiet")], ids=["soon done", "quiet"])
def test_it_is_not_shown_in_vain(arguments: tuple[str, ...]) -> None:
    """What is done at once needs none."""
    assert on_terminal(*arguments) == ""


def test_it_is_not_written_to_a_file_or_a_pipe() -> None:
    """A log of CI holds results alone."""
    command = [sys.executable, "-c", PROGRAM, "0", "10", ""]
    forced = os.environ | {"FORCE_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, timeout=60, check=True, env=forced)
    assert (done.stdout, done.stderr) == (b"", b"")
