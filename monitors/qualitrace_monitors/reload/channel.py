"""What the supervisor and `work` say to each other about reloads: datagrams through a pair of sockets.

SIGHUP ─▶ supervisor ─── how the last reload went ──▶ work ─▶ /metrics
              ▲                                        │
              └────────── a reload is asked for ───────┘ ◀─ POST /-/reload
"""

import json
import os
import signal
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from types import FrameType

# The environment variables with the file descriptor for `work`, and with how the last reload before its start went.
CHANNEL_VARIABLE = "QUALITRACE_RELOAD_FD"
STATE_VARIABLE = "QUALITRACE_RELOAD_STATE"

_BUFFER_BYTES = 1 << 18
_MISTAKES, _CHARACTERS = 100, 400
"""How many mistakes are sent, and how much of each, so that they are one datagram. The log has all."""


@dataclass(frozen=True, slots=True)
class ReloadState:
    """How the last reload went.

    Attributes:
        successful: whether the server runs with what the file held; true at the start.
        succeeded_at: when the configuration that it runs with was taken over, Unix seconds.
        mistakes: why the file was refused.
    """

    successful: bool
    succeeded_at: float
    mistakes: Sequence[str] = ()


class Requests:
    """The supervisor's end; make it in the main thread, since it handles SIGHUP from then on.

    Attributes:
        child_end: the file descriptor that `work` must inherit.
    """

    def __init__(self) -> None:
        self._own, self._child = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (self._own, self._child):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        self._own.setblocking(False)  # a `work` that hangs must not hold up the supervisor
        self.child_end = self._child.fileno()
        os.environ[CHANNEL_VARIABLE] = str(self.child_end)
        self._hung_up = False
        signal.signal(signal.SIGHUP, self._hang_up)

    def _hang_up(self, _number: int, _frame: FrameType | None) -> None:
        self._hung_up = True

    def take(self) -> bool:
        """Return whether a reload was asked for since the last call."""
        asked, self._hung_up = self._hung_up, False
        with suppress(BlockingIOError):
            while self._own.recv(_BUFFER_BYTES):
                asked = True
        return asked

    def answer(self, state: ReloadState) -> None:
        """Say to `work` how the reload went, and to each that starts from now on, too."""
        mistakes = [mistake[:_CHARACTERS] for mistake in state.mistakes[:_MISTAKES]]
        text = json.dumps(asdict(state) | {"mistakes": mistakes}, ensure_ascii=False)
        self.remember(state)
        with suppress(OSError):  # nobody reads
            self._own.send(text.encode("utf-8", "replace"))

    @staticmethod
    def remember(state: ReloadState) -> None:
        """Say to each `work` that starts from now on how the last reload went."""
        os.environ[STATE_VARIABLE] = json.dumps({**asdict(state), "mistakes": ()})


class Reloader:
    """The end of `work`: asks for reloads, and knows how the last one went; thread-safe.

    Args:
        channel: the socket.
        state: how the last one before the start went.
    """

    def __init__(self, channel: socket.socket, state: ReloadState) -> None:
        self._channel = channel
        self._heard = threading.Condition()
        self._told = 0
        self._state = state
        threading.Thread(target=self._listen, name="reload", daemon=True).start()

    @classmethod
    def of_supervisor(cls) -> "Reloader | None":
        """Return the end that the supervisor gave to this process; None if there is none."""
        descriptor, state = os.environ.get(CHANNEL_VARIABLE), os.environ.get(STATE_VARIABLE)
        if not descriptor or not state:
            return None
        return cls(socket.socket(fileno=int(descriptor)), ReloadState(**json.loads(state)))

    @property
    def state(self) -> ReloadState:
        """How the last reload went."""
        return self._state

    def reload(self, timeout: float) -> ReloadState | None:
        """Ask for a reload and return how it went; None if the supervisor does not answer within `timeout` seconds."""
        with self._heard:
            before = self._told
            self._channel.send(b"reload")
            return self._state if self._heard.wait_for(lambda: self._told > before, timeout) else None

    def _listen(self) -> None:
        while answer := self._channel.recv(_BUFFER_BYTES):
            with self._heard:
                self._state = ReloadState(**json.loads(answer))
                self._told += 1
                self._heard.notify_all()
