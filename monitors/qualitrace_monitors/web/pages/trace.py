"""The page `/trace/ID`: all that is known here of an answer, and the forms to label it."""

import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any

from qualitrace_collector.sample import SLICES
from qualitrace_collector.state import JudgeQueue, Ledger
from qualitrace_monitors.answers.search import Answer, answer_of
from qualitrace_monitors.web.page import NotFound, Page, PageRequest, Sources
from qualitrace_monitors.web.pages.answers import marks, shown

THUMB = "thumb"
"""The name of a thumb's assessment, as in the documentation of feedback."""
LONGEST_ID = 100
"""Characters of a trace's id that are shown."""
JUDGES = 60
"""That a form names at most: those that scored the answer come first."""


def known_answer(sources: Sources, trace_id: str) -> tuple[Answer, str]:
    """Return an answer and its service.

    Raises:
        NotFound: nothing is known of the trace.
    """
    answer = answer_of(sources.database, trace_id)
    record = Ledger(sources.database).known_traces([trace_id]).get(trace_id)
    if not answer.scores and answer.texts is None and record is None:
        raise NotFound(f"Nothing is kept here of a trace {trace_id[:LONGEST_ID]!r}: scores are kept for 30 days.")
    service = answer.scores[0]["service"] if answer.scores else record.service if record is not None else ""
    return answer, service


def labelled_judges(sources: Sources, answer: Answer) -> list[str]:
    """Return the judges for which experts may label an answer, those that scored it first, the worst verdict first."""
    names = [*(row["judge"] for row in answer.scores), *(judge.name for judge in sources.config.judges)]
    return list(dict.fromkeys(names))[:JUDGES]


def _trace(sources: Sources, request: PageRequest) -> Mapping[str, Any]:
    trace_id = "/".join(request.parts[1:])
    answer, service = known_answer(sources, trace_id)
    show = shown(sources, request)
    scored = {row["judge"] for row in answer.scores}
    outcomes = JudgeQueue(sources.database).statuses(trace_id)
    judges = labelled_judges(sources, answer)
    given = request.query.get("given", "")
    return {
        "answer": answer,
        "service": service,
        "show": show,
        "marks": partial(marks, answer, show=show),
        "slices": [(name, answer.scores[0][name]) for name in SLICES if answer.scores and answer.scores[0][name]],
        "session": answer.scores[0]["session"] if answer.scores else "",
        "unscored": {name: status for name, status in outcomes.items() if name.partition("/")[0] not in scored},
        "judges": judges,
        "nonce": secrets.token_hex(8),
        "reader": request.reader,
        "given": given if given in (THUMB, *judges) else "",
        "mlflow_page": sources.links.trace(trace_id) if sources.has_trace_pages else "",
    }


PAGE = Page("/trace/{trace_id:path}", "trace.html", _trace, names_reader=True)
