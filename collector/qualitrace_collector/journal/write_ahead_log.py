"""What SQLite silently ignores at the end of a write-ahead log: after a fault of the disk it may have been acked."""

import struct
from pathlib import Path

_WAL_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_Checksum = tuple[int, int]


def ignored_tail(database: Path) -> int:
    """Return how many bytes SQLite ignores at the end of a database's write-ahead log.

    They are a commit that a crash cut off, one that was rolled back, or damage; frames of earlier logs do not count.
    SQLite checks every frame and silently ignores all that follow the first wrong one
    (https://sqlite.org/fileformat2.html#walformat). Call this in a write transaction that has not written yet: else
    the log may grow meanwhile.
    """
    # Only the log itself is read. Opening and closing the index beside it (`-shm`) would drop this process's locks on
    # it (https://sqlite.org/howtocorrupt.html, section 2.2).
    try:
        log = database.with_name(database.name + "-wal").read_bytes()
        committed = _committed_bytes(log)
    except (FileNotFoundError, struct.error):  # no log, or an empty one
        return 0
    salt, next_salt = log[16:24], log[committed + 8 : committed + 16]
    return len(log) - committed if next_salt == salt else 0


def _committed_bytes(log: bytes) -> int:
    """Return where the last complete commit ends: its frames carry the log's salt and right checksums."""
    magic, _, page_size = struct.unpack_from(">III", log)
    order = ">" if magic & 1 else "<"
    checksum = _checksum(order, log[:24], (0, 0))
    committed, position = _WAL_HEADER_BYTES, _WAL_HEADER_BYTES
    while position + _FRAME_HEADER_BYTES + page_size <= len(log):
        header, end = log[position : position + _FRAME_HEADER_BYTES], position + _FRAME_HEADER_BYTES + page_size
        checksum = _checksum(order, header[:8] + log[position + _FRAME_HEADER_BYTES : end], checksum)
        if header[8:16] != log[16:24] or struct.unpack(">II", header[16:]) != checksum:
            break
        position = end
        if header[4:8] != b"\0\0\0\0":  # the database's size after a commit; 0 in the frames before its last
            committed = position
    return committed


def _checksum(order: str, data: bytes, start: _Checksum) -> _Checksum:
    """Continue SQLite's checksum over 32-bit words (section 4.2 of the format)."""
    first, second = start
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
