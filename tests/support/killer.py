"""What kills `work` as an operating system does: as soon as it takes more memory than it may."""

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

from support.memory import resident
from support.serving import Server

POLL_SECONDS = 0.01


@contextmanager
def out_of_memory_killer(server: Server, most: int) -> Generator[list[int]]:
    """Kill `work` whenever it takes more than `most` bytes; yields the ids of the processes that were killed."""
    killed: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(POLL_SECONDS):
            pid = server.children().get("work")
            while pid and (size := resident(pid)) and not stop.wait(POLL_SECONDS):
                if size > most:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                    break

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()
