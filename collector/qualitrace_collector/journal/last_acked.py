"""The number of the last acked request, in a file of its own beside the journal.

If `journal.db` is copied or moved without its `-wal`, the requests that are only there are lost. SQLite cannot notice,
since the older state in the main file is complete. This number shows it.
"""

import struct
from contextlib import suppress
from pathlib import Path

_NUMBER = struct.Struct(">Q")


class LastAcked:
    """Remembers a journal's last acked position; it is not synced, so after a power cut it may be too low."""

    def __init__(self, journal: Path) -> None:
        self._path = journal.with_name(f"{journal.name}-last")

    def read(self) -> int:
        """Return the position; 0 if none was noted."""
        try:
            return int(_NUMBER.unpack(self._path.read_bytes())[0])
        except (OSError, struct.error):
            return 0

    def write(self, position: int) -> None:
        """Note a position. A request that is in the journal is acked even if this fails."""
        with suppress(OSError):
            self._path.write_bytes(_NUMBER.pack(position))
