"""What is left of a write-ahead log behind its last complete commit (https://sqlite.org/walformat.html).

SQLite checks every frame of the log and ignores what follows the first one that is wrong, without a word.
"""

import struct
from pathlib import Path

_WAL_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_PAGE_SIZE_OFFSET = 8
_SALT = slice(16, 24)
_FRAME_SALT = slice(8, 16)
_MX_FRAME_OFFSET = 16


def ignored_tail(database: Path) -> int:
    """Return how many bytes SQLite ignores at the end of a database's log, frames of earlier logs left out.

    They are a commit that a crash cut off, one that was rolled back, or damage. To be called in a write transaction
    that has not written yet, lest the log grows meanwhile.
    """
    log, index = (database.with_name(database.name + suffix) for suffix in ("-wal", "-shm"))
    try:
        with log.open("rb") as file:
            header = file.read(_WAL_HEADER_BYTES)
            (page_size,) = struct.unpack_from(">I", header, _PAGE_SIZE_OFFSET)
            (frames,) = struct.unpack_from("=I", index.read_bytes(), _MX_FRAME_OFFSET)
            start = _WAL_HEADER_BYTES + frames * (_FRAME_HEADER_BYTES + page_size)
            file.seek(start)
            if file.read(_FRAME_HEADER_BYTES)[_FRAME_SALT] != header[_SALT]:
                return 0
    except (FileNotFoundError, struct.error):  # no log, or an empty one
        return 0
    return log.stat().st_size - start
