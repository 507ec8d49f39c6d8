"""The frames of HTTP/2: how large and how many a client may send, and where they begin and end."""

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

MAX_STREAMS = 128
"""Requests under way on one connection; clients hold back further ones."""
MAX_HEAD_BYTES = 16 << 10
"""A request's head, compressed or not. gRPC's own servers allow 8 KiB to 16 KiB."""
FRAME_BYTES = 16 << 10
"""The smallest limit on a frame that HTTP/2 allows: h2 holds a frame until it is whole."""
WINDOW_BYTES = 1 << 20
"""What a client may send before it hears from the server: a fast sender far away needs more than the usual 64 KiB."""

MAX_IDLE_FRAMES = 5_000
"""Frames that carry nothing of a message, between two answers: pings, settings, windows, resets, heads. A call has two
or three; floods of them (https://www.rfc-editor.org/rfc/rfc9113#section-10.5) take time and bring nothing."""

_PREFACE_BYTES = 24
_FRAME_HEAD_BYTES = 9
_DATA, _HEADERS, _CONTINUATION, _END_HEADERS = 0, 1, 9, 4


class TooMuchFraming(Exception):
    """A client sends a frame or a head that is too large, or too many frames that carry nothing."""


class FrameMeter:
    """Follows the bounds of frames, so that h2 never holds much of a frame or head that does not end."""

    def __init__(self) -> None:
        self._left = _PREFACE_BYTES
        self._frame_head = bytearray()
        self._head_bytes = 0  # of a request's head that has begun
        self._in_head = False
        self._idle_frames = 0

    def answered(self) -> None:
        """Note that a request was answered."""
        self._idle_frames = 0

    @property
    def is_open(self) -> bool:
        """Whether a frame or head has begun and is not complete."""
        return bool(self._left or self._frame_head or self._in_head)

    def feed(self, data: bytes) -> None:
        """Count what was received.

        Raises:
            TooMuchFraming: it begins a frame or a head beyond the limits, or one too many.
        """
        position = 0
        while position < len(data):
            if self._left:
                step = min(self._left, len(data) - position)
                self._left -= step
                position += step
                continue
            part = data[position : position + _FRAME_HEAD_BYTES - len(self._frame_head)]
            self._frame_head += part
            position += len(part)
            if len(self._frame_head) == _FRAME_HEAD_BYTES:
                self._begin_frame()

    def _begin_frame(self) -> None:
        self._left = int.from_bytes(self._frame_head[:3], "big")
        kind, flags = self._frame_head[3], self._frame_head[4]
        self._frame_head.clear()
        if kind in (_HEADERS, _CONTINUATION):
            self._head_bytes += self._left + _FRAME_HEAD_BYTES  # an empty frame costs memory, too
            self._in_head = not flags & _END_HEADERS
        if kind != _DATA or self._left == 0:
            self._idle_frames += 1
        too_large = self._left > FRAME_BYTES or self._head_bytes > MAX_HEAD_BYTES
        if too_large or self._idle_frames > MAX_IDLE_FRAMES:
            raise TooMuchFraming
        if not self._in_head:
            self._head_bytes = 0


class BoundedH2Connection(H2Connection):
    """The server's side of a connection, with these limits."""

    DEFAULT_MAX_HEADER_LIST_SIZE = MAX_HEAD_BYTES
    MAX_CLOSED_STREAMS = 8 * MAX_STREAMS  # it remembers how each was closed; 65,536 would be megabytes a connection

    def __init__(self) -> None:
        super().__init__(H2Configuration(client_side=False, header_encoding=None))
        self.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEAD_BYTES,
                SettingCodes.MAX_FRAME_SIZE: FRAME_BYTES,
                SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES,
            },
        )
