"""A disk that is full, and a data_dir that holds what it should not."""

import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.load import Load
from support.serving import QUALITRACE, Server, environment
from support.tally import count, is_settled
from support.waiting import eventually

JUDGES = ("toxicity",)
MORE_BYTES = 2_000_000


def limit_files(server: Server, size: int) -> None:
    """Let no file of the server's processes grow beyond `size` bytes, as if the disk were full."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for pid in server.children().values():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


def test_a_full_disk_refuses_and_loses_nothing(serve: Callable[..., Server]):
    """While no file can grow requests are asked to come back; with space again all that was acked is stored."""
    server = serve(judges=list(JUDGES), sampling={"rate": 0.5})
    load = Load(server.http, server.grpc, seed="disk", pause=0, padding=2000).start()
    eventually(lambda: load.acked)
    limit_files(server, max(file.stat().st_size for file in (server.folder / "data").iterdir()) + MORE_BYTES)
    eventually(lambda: load.answers[503] > 0, timeout=60)
    assert server.send(b"").status_code == 200, "an empty request needs no space"
    limit_files(server, resource.RLIM_INFINITY)
    load.stop()
    eventually(lambda: is_settled(server.folder / "data"), timeout=90)
    tally = count(server.folder / "data", load.acked, JUDGES)
    assert tally.is_clean, tally.table()


def data_is_a_file(data: Path) -> str:
    data.write_text("no folder")
    return str(data)


def foreign_journal(data: Path) -> str:
    data.mkdir()
    (data / "journal.db").write_text("no database " * 100)
    return f"{data / 'journal.db'}: "


def foreign_state(data: Path) -> str:
    data.mkdir()
    (data / "state.db").write_text("no database " * 100)
    return f"{data / 'state.db'}: "


@pytest.mark.parametrize("spoil", [data_is_a_file, foreign_journal, foreign_state])
def test_a_data_dir_that_cannot_be_used_ends_serve(tmp_path: Path, spoil: Callable[[Path], str]):
    """Exit code 1, and each process that meets the file (one or both) names it and says what to do."""
    server = Server(tmp_path)
    named = spoil(tmp_path / "data")
    done = subprocess.run(
        [*QUALITRACE, "serve", "--config", str(server.config_path)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if named in line]
    assert lines
    assert all("permissions" in line or "move it away" in line for line in lines)
    assert "Traceback" not in done.stderr
