"""What a process sets up when it starts."""

import os
import subprocess
import sys

from qualitrace_collector.process.startup import PARENT_VARIABLE

CHILD = """
import sys, threading
from qualitrace_collector.process import startup
startup.PARENT_CHECK_SECONDS = 0.01
ended = threading.Event()
startup.when_parent_ends(ended.set)
print("watching", file=sys.stderr, flush=True)
ended.wait()
print("noticed")
"""
PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stderr=subprocess.PIPE)
child.stderr.readline()
os.kill(os.getpid(), 9)
"""


def test_a_process_notices_that_its_parent_was_killed() -> None:
    """By SIGKILL, so that the parent can say nothing; the child's last line comes after that."""
    command = [sys.executable, "-c", PARENT, CHILD]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (-9, "noticed\n")


def test_a_process_notices_that_its_parent_ended_before_it_looked() -> None:
    """It has another parent by then: whoever started it left the process id in the environment."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    environment = os.environ | {PARENT_VARIABLE: str(ended.pid)}
    done = subprocess.run(
        [sys.executable, "-c", CHILD], env=environment, stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )
    assert done.stdout == "noticed\n"
