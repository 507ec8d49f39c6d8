"""Requests that are small on the way and huge in memory: how the whole service takes them."""

from pathlib import Path

import pytest

from support.bombing import MAX_RSS_MEGABYTES, measure
from support.bombs import BOMBS, LAWFUL
from support.serving import Server

KNOWN = {bomb.name: bomb for bomb in (*BOMBS, *LAWFUL)}
ANSWERS = {
    "empty events": "400",
    "a text of 64 MB that is not UTF-8": "400",
    "20,000 traces": "200",
    "372,000 events": "200",
}


@pytest.mark.slow
def test_bombs_take_bounded_memory_and_normal_traces_arrive(tmp_path: Path):
    """Those beyond a limit are refused for good; other senders are answered all the time, and their traces stored."""
    server = Server(tmp_path, judges=[]).start()
    try:
        measured = [measure(server, KNOWN[name], "http") for name in ANSWERS]
    finally:
        server.stop()
    assert {found.bomb: found.answer[:3] for found in measured} == ANSWERS
    assert max(size for found in measured for size in found.memory.values()) <= MAX_RSS_MEGABYTES
    assert {status for found in measured for status in found.others} == {200}
