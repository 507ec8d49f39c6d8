"""The page `/answers`: the newest or the worst ones, with what judges and people said of each."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from qualitrace_collector.sample import SLICES
from qualitrace_monitors.answers.marks import Part, marked
from qualitrace_monitors.answers.personal_data import masked
from qualitrace_monitors.answers.query import ORDERS, VERDICTS, AnswerQuery
from qualitrace_monitors.answers.search import Answer, find
from qualitrace_monitors.answers.texts import shortened
from qualitrace_monitors.web.page import BadQuery, Page, PageRequest, Sources

QUESTION_CHARACTERS, ANSWER_CHARACTERS = 300, 700
ALIKE = 10
"""Links to traces that are like one that is shown."""
SERVICES = 200
"""Suggested for the field."""
WINDOWS = ("15m", "1h", "6h", "24h", "7d", "30d")


def shown(sources: Sources, request: PageRequest) -> Callable[[str], str]:
    """Return how this reader sees texts: personal data is masked for those who may only read."""
    if request.may_act and sources.config.listen.web_personal_data == "shown":
        return str
    return masked


def marks(answer: Answer, text: str, show: Callable[[str], str]) -> list[Part]:
    """Split a text that is shown at the sentences for which a judge did not pass the answer."""
    failed = [row for row in answer.scores if row["label"] != "pass"]
    return marked(text, [(row["judge"], show(row["rationale"])) for row in failed])


def parts(answer: Answer, text: str, most: int, show: Callable[[str], str]) -> list[Part]:
    """Return at most so many characters of a text of an answer, in one line, as `marks` splits it."""
    return marks(answer, shortened(show(text), most), show)


def _answers(sources: Sources, request: PageRequest) -> Mapping[str, Any]:
    now = sources.clock()
    try:
        query = AnswerQuery.read(request.query, now)
    except ValueError as error:
        raise BadQuery(str(error)) from None
    show = shown(sources, request)
    found = find(sources.database, query, now, show)
    services = sources.database.rows("SELECT DISTINCT name FROM service ORDER BY name LIMIT ?", (SERVICES,))
    earlier = found.back_to if found.next is None else None
    return {
        "query": query,
        "answers": found.answers,
        "show": show,
        "parts": partial(parts, show=show),
        "question_characters": QUESTION_CHARACTERS,
        "answer_characters": ANSWER_CHARACTERS,
        "most_alike": ALIKE,
        "services": [row["name"] for row in services],
        "judges": sorted({judge.name for judge in sources.config.judges} | {query.judge} - {""}),
        "verdicts": VERDICTS,
        "orders": ORDERS,
        "windows": list(dict.fromkeys([*WINDOWS, *filter(None, [query.window])])),
        "slices": SLICES,
        "time_fields": {name: request.query.get(name, "") for name in ("from", "to")},
        "next": found.next and query.address(now, found.next),
        "back_to": found.back_to,
        "earlier": earlier and query.until_moment(earlier).address(now),
        "first": query.after and AnswerQuery.read({**request.query, "after": "", "to": ""}, now).address(now),
        "is_masked": show is masked,
    }


PAGE = Page("/answers", "answers.html", _answers, "Answers")
