"""Answers are found by everything that a page can ask for, in pages, one entry a trace, with a bound on what is read."""

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import pytest

from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.sample import SLICES, Sample
from qualitrace_collector.state import Database, Opinions
from qualitrace_monitors.answers import search, texts
from qualitrace_monitors.answers.personal_data import masked
from qualitrace_monitors.answers.query import AnswerQuery
from qualitrace_monitors.answers.search import ENTRIES, find

NOW = 1_000_000.0
AddScore = Callable[..., str]


@pytest.fixture
def add(database: Database, add_score: AddScore) -> Callable[..., str]:
    """Write a score of a trace with its texts; gives the trace's id."""

    def add_one(label: str, at: float, question: str = "", answer: str = "", **changes: object) -> str:
        trace_id = add_score(database, label, at, **changes)
        if question or answer:
            with database.transaction() as connection:
                texts.keep(connection, trace_id, Sample(inputs=question, outputs=answer), at)
        return trace_id

    return add_one


def found(database: Database, given: Mapping[str, str], show: Callable[[str], str] = str) -> list[str]:
    """Return the trace ids of all pages, in order."""
    return [trace_id for page in pages(database, given, show) for trace_id in page]


def pages(database: Database, given: Mapping[str, str], show: Callable[[str], str] = str) -> list[list[str]]:
    """Return the trace ids of each page, by the addresses of their links."""
    query = AnswerQuery.read(given, NOW)
    result: list[list[str]] = []
    while True:
        page = find(database, query, NOW, show)
        result.append([answer.trace_id for answer in page.answers])
        if page.next is None:
            return result
        query = AnswerQuery.read(dict(parse_qsl(query.address(NOW, page.next))), NOW)


def test_pages_hold_each_trace_once_newest_first(database: Database, add: Callable[..., str]) -> None:
    """Also where several judges scored it, at other times too, and many traces were complete at one moment."""
    ids = [add("fail", NOW - number // 7) for number in range(3 * ENTRIES)]
    for trace_id in ids[::2]:
        add("unsure", NOW - 30, trace_id=trace_id, judge="relevance")
        add("pass", NOW, trace_id=trace_id, judge="safety")
    add("pass", NOW)
    result = pages(database, {})
    assert [len(page) for page in result] == [ENTRIES, ENTRIES, ENTRIES]
    together = [trace_id for page in result for trace_id in page]
    assert sorted(together) == sorted(ids)
    moments = [ids.index(name) // 7 for name in together]
    assert moments == sorted(moments)
    worst = pages(database, {"order": "worst"})
    assert sorted(trace_id for page in worst for trace_id in page) == sorted(ids)


def test_the_worst_come_first(database: Database, add: Callable[..., str]) -> None:
    """By the lowest score that is asked for, the newest first among equals."""
    ids = [add("fail", NOW - number, value=value) for number, value in enumerate((0.3, 0.1, 0.2, 0.1))]
    add("unsure", NOW, trace_id=ids[0], judge="relevance", value=0.01)
    assert found(database, {"order": "worst"}) == [ids[0], ids[1], ids[3], ids[2]]
    assert found(database, {"order": "worst", "judge": "groundedness"}) == [ids[1], ids[3], ids[2], ids[0]]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "fail unsure bank model"),
        ({"verdict": "fail"}, "fail bank model"),
        ({"verdict": "unsure"}, "unsure"),
        ({"verdict": "pass"}, "pass"),
        ({"verdict": "any"}, "fail unsure bank model pass"),
        ({"service": "bank"}, "bank"),
        ({"judge": "relevance"}, "unsure"),
        ({"judge": "relevance", "verdict": "fail"}, ""),
        ({"model": "m2"}, "model"),
        ({"model": "m2", "service": "bank"}, ""),
        ({"session": "s1"}, "fail"),
        ({"session": "s1", "verdict": "any"}, "fail pass"),
        ({"session_of": "pass"}, "fail"),
        ({"session_of": "unsure"}, ""),
        ({"window": "25s"}, "fail unsure"),
        ({"from": "1970-01-12T13:46:00"}, "fail unsure bank model"),
        ({"from": "1970-01-12T13:46:10Z", "to": "1970-01-12T15:46:25+02:00"}, "unsure bank"),
        ({"text": "REFUND"}, "fail bank"),
        ({"text": "İstan"}, "unsure"),
        ({"text": "100% _"}, "model"),
        ({"text": "nothing like it"}, ""),
        ({"text": "refund", "order": "worst", "service": "bank"}, "bank"),
    ],
)
def test_filters(database: Database, add: Callable[..., str], given: dict[str, str], expected: str) -> None:
    """Each alone, and together."""
    names = {
        add("fail", NOW - 10, "Can I get a refund?", "No.", session="s1"): "fail",
        add("unsure", NOW - 20, "Where?", "In İstanbul.", judge="relevance"): "unsure",
        add("fail", NOW - 30, "Money?", "A Refund, yes.", service="bank"): "bank",
        add("fail", NOW - 40, "How much?", "100% _sure_", model="m2"): "model",
        add("pass", NOW - 50, "Hi?", "Hello.", session="s1"): "pass",
    }
    by_name = {name: trace_id for trace_id, name in names.items()}
    if "session_of" in given:
        given = given | {"session_of": by_name[given["session_of"]]}
    assert " ".join(names[trace_id] for trace_id in found(database, given)) == expected


@pytest.mark.parametrize("name", SLICES)
def test_each_slice_is_a_filter(database: Database, add: Callable[..., str], name: str) -> None:
    """By its value."""
    wanted = add("fail", NOW, **{name: "x"})
    add("fail", NOW, **{name: "y"})
    assert found(database, {name: "x"}) == [wanted]


def test_answers_alike_are_one_entry(database: Database, add: Callable[..., str]) -> None:
    """Twelve times the same answer is shown once, with the others counted; traces without texts are not alike."""
    same = [add("fail", NOW - number, "When?", "At 9.") for number in range(12)]
    bare = [add("fail", NOW - 20 - number) for number in range(2)]
    page = find(database, AnswerQuery.read({}, NOW), NOW, str)
    assert [answer.trace_id for answer in page.answers] == [same[0], *bare]
    assert page.answers[0].alike == same[1:]
    assert page.answers[1].alike == []


def test_what_is_masked_cannot_be_found(database: Database, add: Callable[..., str]) -> None:
    """Or a reader could guess it letter by letter."""
    trace_id = add("fail", NOW, "Who?", "Write to ada@example.com please.")
    assert found(database, {"text": "ada@"}) == [trace_id]
    assert found(database, {"text": "ada@"}, masked) == []
    assert found(database, {"text": "please"}, masked) == [trace_id]


def test_opinions_come_with_the_answers(database: Database, add: Callable[..., str]) -> None:
    """Of that trace alone."""
    first, second = add("fail", NOW), add("fail", NOW - 1)
    with database.transaction() as connection:
        Opinions.put(connection, PersonFeedback(trace_id=second, name="thumb", value=False), NOW)
    page = find(database, AnswerQuery.read({}, NOW), NOW, str)
    assert [[row["value"] for row in answer.opinions] for answer in page.answers] == [[], ["false"]]
    assert first == page.answers[0].trace_id


def test_a_search_that_finds_little_goes_on_at_the_next_page(
    database: Database, add: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page looks through a bounded number of scores; its link leads on, to the last one."""
    monkeypatch.setattr(search, "SCORES_IN_INDEX", 5)
    monkeypatch.setattr(search, "PLACES", 4)
    for number in range(20):
        add("fail", NOW - number, service="loud")
    wanted = add("fail", NOW - 30, service="shop")
    result = pages(database, {"service": "shop"})
    assert [page for page in result if page] == [[wanted]]
    assert len(result) >= 4
    page = find(database, AnswerQuery.read({"order": "worst"}, NOW), NOW, str)
    assert page.back_to == NOW - 5


@pytest.mark.parametrize(
    "given",
    [
        {"verdict": "bad"},
        {"order": "best"},
        {"window": "soon"},
        {"window": "-1h"},
        {"from": "yesterday"},
        {"to": "9999999999999"},
        {"text": "x" * 301},
        {"after": "1~2"},
        {"after": "nan~1~tr"},
        {"after": "1~inf~tr"},
        {"window": "1h", "from": "2026-01-01"},
    ],
)
def test_what_cannot_be_read_is_named(given: dict[str, str]) -> None:
    """With its name first."""
    with pytest.raises(ValueError, match=f"{next(iter(given))}"):
        AnswerQuery.read(given, NOW)


def test_no_search_scans_a_table(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way to ask finds its scores and texts by an index."""
    plans: list[str] = []
    connection, read = database.connection(), database.rows

    def explained(query: str, parameters: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        plans.extend(row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", parameters))
        return read(query, parameters)

    monkeypatch.setattr(database, "rows", explained)
    for order in ("newest", "worst"):
        for given in (
            {},
            {"verdict": "any", "service": "shop"},
            {"verdict": "fail", "judge": "groundedness", "model": "m"},
            {"session": "s"},
            {"session_of": "tr-1"},
            {"after": f"0.5~{NOW}~tr-1", "text": "x"},
        ):
            find(database, AnswerQuery.read({"order": order, **given}, NOW), NOW, str)
    search.answer_of(database, "tr-1")
    assert any("score_not_passed" in plan for plan in plans)
    # The only scans are those of what was found by an index, and of lists of ids.
    scanned = {plan.removeprefix("SCAN ").partition(" ")[0] for plan in plans if plan.startswith("SCAN")}
    assert scanned <= {"json_each", "CONSTANT"}
