"""Which texts of answers are kept, and how much of them."""

from qualitrace_collector.sample import Sample
from qualitrace_collector.state import Database
from qualitrace_monitors.answers import texts
from qualitrace_monitors.answers.texts import MAX_ANSWER, MAX_PASSAGE, MAX_PASSAGES, PASSED_A_MINUTE, Texts

NOW = 1_000_000.0


def keep(
    database: Database, name: str, at: float = NOW, *, passed: bool, service: str = "shop", answer: str = "A."
) -> None:
    """Keep the texts of a trace."""
    sample = Sample(inputs="Q?", outputs=answer, passages=("P.",), metadata={"service": service, "seconds": "1.5"})
    with database.transaction() as connection:
        texts.keep(connection, name, sample, at, passed=passed)


def kept(database: Database) -> set[str]:
    """Return whose texts are there."""
    return {row["trace_id"] for row in database.rows("SELECT trace_id FROM answer")}


def test_what_is_kept_is_read_back(database: Database) -> None:
    """Long texts are cut; line breaks stay, heaps of them do not; half a character is none."""
    sample = Sample(
        inputs="One.\n\n \n\nTwo.\ud83d",
        outputs="a" * 9_000,
        passages=("p" * 600, *"bcdefghijk"),
        metadata={"service": "shop", "seconds": "0.250"},
    )
    with database.transaction() as connection:
        texts.keep(connection, "tr-1", sample, NOW)
    found = Texts.of(database, ["tr-1", "tr-2"])
    assert set(found) == {"tr-1"}
    assert (found["tr-1"].question, found["tr-1"].seconds) == ("One.\n\nTwo.?", 0.25)
    assert (len(found["tr-1"].answer), found["tr-1"].answer[-2:]) == (MAX_ANSWER, "a…")
    assert [len(text) for text in found["tr-1"].passages] == [MAX_PASSAGE] + [1] * (MAX_PASSAGES - 1)


def test_of_those_that_passed_a_few_are_kept(database: Database) -> None:
    """So many a minute of each service; all that did not pass."""
    for number in range(20):
        keep(database, f"pass-{number}", NOW + number, passed=True)
        keep(database, f"fail-{number}", NOW + number, passed=False)
    keep(database, "other", NOW, passed=True, service="bank")
    keep(database, "later", NOW + 70, passed=True)
    found = kept(database)
    assert len([name for name in found if name.startswith("fail")]) == 20
    assert len([name for name in found if name.startswith("pass")]) == PASSED_A_MINUTE
    assert {"other", "later"} <= found


def test_one_judge_that_does_not_pass_decides(database: Database) -> None:
    """Whichever of a trace's judges comes first; content that came late replaces what was there."""
    for name, verdicts in (("tr-1", (True, False)), ("tr-2", (False, True))):
        for passed in verdicts:
            keep(database, name, passed=passed)
    keep(database, "tr-2", passed=True, answer="Another.")
    rows = database.rows("SELECT trace_id, passed, answer FROM answer ORDER BY trace_id")
    assert [tuple(row) for row in rows] == [("tr-1", 0, "A."), ("tr-2", 0, "Another.")]


def test_the_bytes_are_shared_by_the_services(database: Database) -> None:
    """A service that fails always does not push out another's few; of each the newest stay, of passes fewer."""
    for number in range(60):
        keep(database, f"loud-{number:02}", NOW + number, passed=False, answer="x" * 1000)
    for number in range(5):
        keep(database, f"calm-{number}", NOW - 9000, passed=False, service="bank", answer="x" * 1000)
        keep(database, f"pass-{number}", NOW - 9000 + number, passed=True, answer="x" * 1000)
    texts.bound(database, most_bytes=20_500)
    found = kept(database)
    assert {f"calm-{number}" for number in range(5)} <= found
    assert "pass-4" in found
    assert "pass-0" not in found
    loud = sorted(name for name in found if name.startswith("loud"))
    assert loud == [f"loud-{number:02}" for number in range(60 - len(loud), 60)]
    assert database.rows("SELECT sum(size) AS size FROM answer")[0]["size"] <= 20_500
    assert len(loud) > 8
