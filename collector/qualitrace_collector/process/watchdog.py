"""Signs of life from a supervised process: a byte each second through a pipe.

systemd's watchdog (`sd_notify`) uses a socket for it, gunicorn a file's time. A pipe needs neither a path nor a disk: a
full disk does not look like a hang.
"""

import faulthandler
import os
import signal
import threading
import time
from contextlib import suppress

BEAT_SECONDS = 1.0

# The environment variable with the file descriptor of the pipe.
PIPE_VARIABLE = "QUALITRACE_WATCHDOG_FD"
# The environment variable with the reason why the process was started again: crash or hang.
RESTART_VARIABLE = "QUALITRACE_RESTARTED_AFTER"

STACKS_SIGNAL = signal.SIGQUIT
"""Makes a process with `show_stacks_on_signal` write where each of its threads stands to standard error."""

_ALIVE, _STARTED, _READY = b".", b"o", b"+"
_LONGEST_LOOK_SECONDS = 1.0
_PIPE_BYTES = 1 << 16  # as much as a pipe holds


class Watch:
    """The supervisor's end of the pipe; call `look` about every second or more often.

    Attributes:
        child_end: the file descriptor for the child, which must be closed here once the child has it.
        heard: whether there was any sign of life.
        silence: seconds since the last sign of life, as far as this process ran itself.
        started, ready: whether the child said that it has started, and that it does its work.
    """

    def __init__(self) -> None:
        self._own_end, self.child_end = os.pipe()
        os.set_blocking(self._own_end, False)
        os.set_blocking(self.child_end, False)  # a child must not wait for a supervisor that does not read
        self.silence = 0.0
        self.heard = self.started = self.ready = False
        self._looked_at = time.monotonic()

    def look(self) -> None:
        """Read what the child said since the last look."""
        now = time.monotonic()
        # While this process did not run, because all of them were stopped or starved, silence says nothing.
        self.silence += min(now - self._looked_at, _LONGEST_LOOK_SECONDS)
        self._looked_at = now
        with suppress(BlockingIOError):  # nothing was said
            if said := os.read(self._own_end, _PIPE_BYTES):
                self.silence, self.heard = 0.0, True
                self.started = self.started or _STARTED in said
                self.ready = self.ready or _READY in said

    def close(self) -> None:
        """Close this end."""
        os.close(self._own_end)


def tell_alive() -> None:
    """Give the supervisor, if there is one, a sign of life."""
    _tell(_ALIVE)


def tell_started() -> None:
    """Tell the supervisor, if there is one, that this process runs; what it needs from others may be missing yet."""
    _tell(_STARTED)


def tell_ready() -> None:
    """Tell the supervisor, if there is one, that this process does its work."""
    _tell(_READY)


def tell_alive_in_a_thread() -> None:
    """Give signs of life from now on, as long as threads of this process can run."""

    def beat() -> None:
        while True:
            tell_alive()
            time.sleep(BEAT_SECONDS)

    threading.Thread(target=beat, name="watchdog", daemon=True).start()


def show_stacks_on_signal() -> None:
    """Let `STACKS_SIGNAL` show the stacks of all threads, even while one of them keeps Python from running."""
    faulthandler.register(STACKS_SIGNAL)


def restart_counts(process: str) -> dict[tuple[str, str], int]:
    """Return what this start adds to the journal's counters: 1 to the restarts of `process` if it is one."""
    reason = os.environ.get(RESTART_VARIABLE)
    return {("process_restarts", f"{process} {reason}"): 1} if reason else {}


def _tell(what: bytes) -> None:
    if descriptor := os.environ.get(PIPE_VARIABLE):
        with suppress(OSError):  # the supervisor ended, or does not read
            os.write(int(descriptor), what)
