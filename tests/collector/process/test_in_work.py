"""What a process died of is found among all that was in work."""

import random
from pathlib import Path

import pytest

from qualitrace_collector.process.in_work import MAX_DEATHS, InWork


def find(note: Path, units: list[str], guilty: set[str]) -> tuple[int, set[str]]:
    """Work on units until all are done or given up, dying with the guilty; return the deaths and what was given up."""
    waiting, given_up, died = dict.fromkeys(units), set[str](), 0
    while waiting:
        in_work = InWork(note)
        while waiting:
            if in_work.trying:
                batch = [unit for unit in in_work.try_suspects() if unit in waiting]
            else:
                batch = [*waiting]
                in_work.begin(batch)
            bad = {unit for unit in batch if in_work.deaths(unit) >= MAX_DEATHS}
            given_up |= bad
            if guilty & set(batch) - bad:
                died += 1
                break
            in_work.end(batch)
            for unit in batch:
                del waiting[unit]
    return died, given_up


@pytest.mark.parametrize(("units", "most"), [(1, 4), (6, 4), (1000, 5), (20_000, 6)])
def test_one_guilty_among_many_is_found_in_few_deaths(tmp_path: Path, units: int, most: int):
    """A first death, one for each division by 32, and three alone."""
    names = [str(number) for number in range(units)]
    assert find(tmp_path / "x.in-work", names, {names[units // 2]}) == (most, {names[units // 2]})


def test_all_of_several_guilty_are_found(tmp_path: Path):
    """Each by itself; nobody else is given up."""
    names = [str(number) for number in range(200)]
    guilty = {"0", "1", "77", "199"}
    assert find(tmp_path / "x.in-work", names, guilty)[1] == guilty


def test_kills_at_random_give_up_nothing(tmp_path: Path):
    """Of 300 kills, each while something is in work, none makes anybody guilty, since they hit one after another."""
    rng = random.Random(1)
    note = tmp_path / "x.in-work"
    for number in range(300):
        in_work = InWork(note)
        begun = [str(number * 10 + more) for more in range(10)]
        tries = rng.randrange(12)
        while in_work.trying and tries:
            units = in_work.try_suspects()
            assert all(in_work.deaths(unit) < MAX_DEATHS for unit in units)
            tries -= 1
            if tries:
                in_work.end(units)
        if not in_work.trying:
            in_work.begin(begun)


def test_a_death_before_anything_begins_counts_once(tmp_path: Path):
    """Processes that die while they start say nothing about what was in work before; the suspects stay."""
    note = tmp_path / "x.in-work"
    InWork(note).begin(["a"])
    InWork(note).try_suspects()
    for _ in range(5):
        in_work = InWork(note)
        assert (in_work.deaths("a"), in_work.suspects) == (1, ["a"])


@pytest.mark.parametrize("how", ["close", "pause"])
def test_a_clean_stop_and_a_pause_blame_nobody(tmp_path: Path, how: str):
    """What is being tried again stays a suspect, and is as suspect as before."""
    note = tmp_path / "x.in-work"
    InWork(note).begin(["a", "b"])
    in_work = InWork(note)
    in_work.try_suspects()
    getattr(in_work, how)()
    after = InWork(note)
    assert (after.suspects, after.deaths("a")) == (["a", "b"], 0)


def test_three_deaths_are_not_in_a_row_if_it_was_done_between(tmp_path: Path):
    """What passes once is suspected of nothing any more."""
    note = tmp_path / "x.in-work"
    InWork(note).begin(["a"])
    InWork(note).try_suspects()
    in_work = InWork(note)
    assert in_work.deaths("a") == 1
    in_work.try_suspects()
    in_work.end(["a"])
    assert (InWork(note).deaths("a"), InWork(note).suspects) == (0, [])


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b'{"in_work": 3}'])
def test_a_note_that_a_power_cut_spoiled_is_none(tmp_path: Path, content: bytes):
    """The process starts as if there were nothing."""
    note = tmp_path / "x.in-work"
    note.write_bytes(content)
    assert not InWork(note).trying


def test_a_note_that_cannot_be_written_stops_nothing(tmp_path: Path):
    """Nobody is blamed by an older note."""
    note = tmp_path / "x.in-work"
    in_work = InWork(note)
    in_work.begin(["a"])
    (tmp_path / "x.in-work.new").mkdir()
    in_work.begin(["b"])
    assert InWork(note).suspects == []


def test_work_goes_on_where_no_note_can_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the new note nor the end of the old one, as on a disk that became read-only: the log says so."""
    folder = tmp_path / "data"
    folder.mkdir()
    in_work = InWork(folder / "note")
    folder.rmdir()
    folder.write_text("a file in the folder's place")
    in_work.begin(["a"])
    in_work.end(["a"])
    assert "what is in work cannot be noted" in caplog.text
