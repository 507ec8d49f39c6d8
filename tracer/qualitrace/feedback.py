"""`feedback`: what a person says of an answer, from the app or from any other process."""

import math
import uuid
from typing import Any, Literal

from qualitrace.lifecycle import feedback_sender
from qualitrace.quiet import logger, never_raises


@never_raises
def feedback(
    trace_id: str,
    name: str,
    value: bool | float | str,
    comment: str | None = None,
    *,
    source: Literal["user", "expert"] = "user",
    user: str | None = None,
    feedback_id: str | None = None,
) -> None:
    """Send a person's opinion of a trace to the collector, in the background. Never raises, never waits.

    `init` need not have been called: endpoint and headers come from the environment then.

    Args:
        trace_id: what `current_trace_id()` gave.
        name: of the assessment in MLflow: `thumb`, or a judge's name for a label that calibrates it.
        value: True or False, a number, or a word such as `pass`. False, 0 and less, and `fail` are negative.
        comment: the person's words.
        source: `user` for an end user, `expert` for a label that judges are calibrated by.
        user: who it is.
        feedback_id: the same opinion sent again has the same id (default: a new one).
    """
    if isinstance(value, float) and not math.isfinite(value):
        logger.warning("feedback %r is dropped: its value is %r", name, value)
        return
    item: dict[str, Any] = {"trace_id": trace_id, "name": name, "value": value, "comment": comment}
    item |= {"source": source, "user": user, "id": feedback_id or uuid.uuid4().hex}
    if (sender := feedback_sender()) is not None:
        sender.put(item)
