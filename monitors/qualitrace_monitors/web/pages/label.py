"""What the forms of `/trace/ID` do: an expert's label for a judge, or a thumb, as feedback on its way to MLflow."""

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from pydantic import ValidationError

from qualitrace_collector.journal import JournalError
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_monitors.web.page import Action, BadQuery, CannotNow, NotFound, Sources
from qualitrace_monitors.web.pages.trace import THUMB, known_answer, labelled_judges
from qualitrace_monitors.web.rendering import trace_path

_THUMBS = {"up": True, "down": False}
_LABELS = ("good", "bad")
_NONCE_CHARACTERS = 32


def _label(sources: Sources, fields: Mapping[str, str]) -> str:
    trace_id = fields.get("trace_id", "")
    answer, _ = known_answer(sources, trace_id)
    value, _, judge = fields.get("say", "").partition(" ")
    who = fields.get("reader", "").strip()
    said: dict[str, Any]
    if value in _THUMBS and not judge:
        said = {"name": THUMB, "value": _THUMBS[value], "source": "user"}
    elif value not in _LABELS or judge not in labelled_judges(sources, answer):
        raise BadQuery("say must be good or bad and the name of a judge, or up or down")
    elif not who:
        raise BadQuery("reader must be your name: an expert's label is somebody's")
    else:
        said = {"name": judge, "value": value, "source": "expert"}
    try:
        feedback = PersonFeedback(
            trace_id=trace_id,
            comment=fields.get("comment", "").strip() or None,
            user=who or None,
            id=_id_of(fields),
            **said,
        )
    except ValidationError as error:
        raise _mistake(error) from None
    try:
        sources.give_feedback(feedback)
    except JournalError as error:
        raise CannotNow(f"The label was not taken: {error}") from error
    return f"/{trace_path(trace_id)}?{urlencode({'given': said['name']})}"


def _id_of(fields: Mapping[str, str]) -> str:
    """Return the same for a form that is sent twice, and another for one that was changed or is another one."""
    nonce = fields.get("nonce", "")
    if not (nonce.isascii() and nonce.isalnum() and len(nonce) <= _NONCE_CHARACTERS):
        raise BadQuery("nonce must be as the form has it")
    said = [nonce, *(fields.get(name, "") for name in ("say", "reader", "comment"))]
    return hashlib.sha256("\0".join(said).encode()).hexdigest()[:32]


def _mistake(error: ValidationError) -> BadQuery | NotFound:
    name = str(error.errors()[0]["loc"][0])
    if name == "trace_id":
        return NotFound("This trace has no id of 32 hexadecimal digits, so MLflow can take no label for it.")
    field = {"user": "reader"}.get(name, name)
    return BadQuery(f"{field} must be {PersonFeedback.model_fields[name].description}")


ACTION = Action("/label", _label)
