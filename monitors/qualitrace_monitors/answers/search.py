"""Finds answers without ever reading more than a bounded number of scores and texts."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from qualitrace_collector.state import Database, Opinions
from qualitrace_monitors.answers.query import AnswerQuery, Place
from qualitrace_monitors.answers.texts import Texts

ENTRIES = 20
"""Different answers on a page."""
SCORES_IN_INDEX, SCORES = 100_000, 20_000
"""Scores that are looked through for a page: where an index answers, and where each row has to be read."""
PLACES = 1_000
"""Matching scores that are read for a page: equal answers are one entry, and many may lack the text in question."""
AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is known of a trace.

    Attributes:
        scores: rows of the score table, the worst first.
        opinions: rows of what people said, the newest first.
        alike: further traces with the same question and answer.
    """

    trace_id: str
    texts: Texts | None
    scores: Sequence[sqlite3.Row]
    opinions: Sequence[sqlite3.Row] = ()
    alike: list[str] = field(default_factory=list[str])

    @property
    def said(self) -> object:
        """The same for answers that are alike."""
        return self.trace_id if self.texts is None else (self.texts.question.lower(), self.texts.answer.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page of answers.

    Attributes:
        next: where the next page begins; None after the last one.
        back_to: since when the page's order holds, Unix seconds; None if all were looked through.
    """

    answers: Sequence[Answer]
    next: Place | None
    back_to: float | None


def find(database: Database, query: AnswerQuery, now: float, shown: Callable[[str], str]) -> Found:
    """Return a page of the answers that are asked for.

    Args:
        now: Unix seconds.
        shown: how texts are shown to the reader, who can look for nothing else in them.
    """
    source = _Source.of(database, query, now)
    places = source.places(database, query)
    answers: dict[object, Answer] = {}
    after: Place | None = None
    is_full = False
    for place, answer in _answers(database, query, places, shown):
        if answer is not None:
            if is_full := answer.said not in answers and len(answers) == ENTRIES:
                break
            answers.setdefault(answer.said, answer).alike.append(answer.trace_id)
        after = place
    if not is_full and len(places) < PLACES:  # what lies before is another page's, if this order goes on there
        after = None if source.back_to is None or query.order == "worst" else Place(0.0, source.back_to, "")
    found = [replace(answer, alike=answer.alike[1:]) for answer in answers.values()]  # the first of them is itself
    return Found(answers=_with_opinions(database, found), next=after, back_to=source.back_to)


def answer_of(database: Database, trace_id: str) -> Answer:
    """Return what is known of a trace, which may be nothing."""
    scores = _scores(database, [trace_id]).get(trace_id, [])
    answer = Answer(trace_id=trace_id, texts=Texts.of(database, [trace_id]).get(trace_id), scores=scores)
    return _with_opinions(database, [answer])[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """The index that shows scores in the order of time, and the part of it that is looked through.

    Attributes:
        where: SQL of the part, with `parameters`.
    """

    where: str
    parameters: tuple[object, ...]
    back_to: float | None

    @classmethod
    def of(cls, database: Database, query: AnswerQuery, now: float) -> "_Source":
        until = now if query.until is None else query.until
        if query.order == "newest" and query.after is not None:
            until = min(until, query.after.at)
        times = query.since or 0.0, until
        if query.session or query.session_of:
            sessions = "SELECT ?" if query.session else "SELECT session FROM score WHERE trace_id = ? AND session != ''"
            where = (
                # As many as `SCORES` of a session that has more.
                "(trace_id, judge, tier) IN (SELECT trace_id, judge, tier FROM score INDEXED BY score_session "
                f"WHERE session = ({sessions} LIMIT 1) AND session_began IS NOT NULL LIMIT {SCORES}) "
                "AND completed_at BETWEEN ? AND ?"
            )
            return cls(where=where, parameters=(query.session or query.session_of, *times), back_to=None)
        index, few = ("score_window", "") if query.verdict in ("any", "pass") else ("score_not_passed", _NOT_PASSED)
        within = f"FROM score INDEXED BY {index} WHERE {few}completed_at BETWEEN ? AND ?"
        most = SCORES_IN_INDEX if few and not query.slices else SCORES
        beyond = f"SELECT completed_at {within} ORDER BY completed_at DESC LIMIT 1 OFFSET {most}"
        if rows := database.rows(beyond, times):
            times = (rows[0]["completed_at"], until)
        return cls(where=within.partition(" WHERE ")[2], parameters=times, back_to=times[0] if rows else None)

    def places(self, database: Database, query: AnswerQuery) -> list[Place]:
        """Return where the scores stand that match but for texts, in the order of the query, at most `PLACES`."""
        named = {"service": query.service, "judge": query.judge, **query.slices}
        named["label"] = "" if query.verdict in ("any", "not_passed") else query.verdict
        filters = "".join(f" AND {name} = ?" for name, value in named.items() if value)
        if query.verdict == "not_passed":
            filters += " AND label != 'pass'"
        parameters = [*self.parameters, *filter(None, named.values())]
        order = "completed_at DESC, trace_id DESC"
        if query.order == "worst":
            order = f"value, {order}"
        if query.after is not None:
            at = (query.after.at, query.after.at, query.after.trace_id)
            before = "(completed_at < ? OR completed_at = ? AND trace_id < ?)"
            if query.order == "worst":
                before, at = f"(value > ? OR value = ? AND {before})", (query.after.value, query.after.value, *at)
            filters, parameters = f"{filters} AND {before}", [*parameters, *at]
        select = f"SELECT value, completed_at, trace_id FROM score WHERE {self.where}{filters} ORDER BY {order}"
        return [Place(*row) for row in database.rows(f"{select} LIMIT {PLACES}", tuple(parameters))]


_NOT_PASSED = "label != 'pass' AND "
"""As the index `score_not_passed` has it, or SQLite would not use it."""


def _answers(
    database: Database, query: AnswerQuery, places: Sequence[Place], shown: Callable[[str], str]
) -> Iterator[tuple[Place, Answer | None]]:
    """Yield each place with its answer, without one if it lacks the text or the trace stood at an earlier place."""
    wanted = query.text.lower()
    seen: set[str] = set()
    for start in range(0, len(places), AT_ONCE):
        some = places[start : start + AT_ONCE]
        texts = Texts.of(database, [place.trace_id for place in some])
        holding = [place.trace_id for place in some if _holds(texts.get(place.trace_id), wanted, shown)]
        scores = _scores(database, holding)
        for place in some:
            rows = scores.get(place.trace_id, [])
            if place.trace_id in seen or not _is_first(place, query, rows):
                yield place, None
            else:
                yield place, Answer(trace_id=place.trace_id, texts=texts.get(place.trace_id), scores=rows)
            seen.add(place.trace_id)


def _holds(texts: Texts | None, wanted: str, shown: Callable[[str], str]) -> bool:
    if not wanted:
        return True
    # Most texts lack it, and need not be masked to know that.
    both = () if texts is None else (texts.question, texts.answer)
    return any(wanted in text.lower() and wanted in shown(text).lower() for text in both)


def _is_first(place: Place, query: AnswerQuery, rows: Sequence[sqlite3.Row]) -> bool:
    """Whether no other of a trace's scores that match stands before this place, on an earlier page perhaps."""
    matching = [row for row in rows if query.admits(row)]
    if query.order == "worst":
        first = min(((row["value"], -row["completed_at"]) for row in matching), default=None)
        return first == (place.value, -place.at)
    return max((row["completed_at"] for row in matching), default=None) == place.at


def _scores(database: Database, trace_ids: Sequence[str]) -> dict[str, list[sqlite3.Row]]:
    query = "SELECT * FROM score WHERE trace_id IN (SELECT value FROM json_each(?)) ORDER BY trace_id, value, judge"
    found: dict[str, list[sqlite3.Row]] = {}
    for row in database.rows(query, (json.dumps(trace_ids),)):
        found.setdefault(row["trace_id"], []).append(row)
    return found


def _with_opinions(database: Database, answers: Sequence[Answer]) -> list[Answer]:
    rows = Opinions(database).of([answer.trace_id for answer in answers])
    return [replace(answer, opinions=[row for row in rows if row["trace_id"] == answer.trace_id]) for answer in answers]
