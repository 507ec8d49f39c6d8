"""What a model answers, and how it is read: strictly in its meaning, leniently in its wrapping."""

import json
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ValidationError, field_validator

from qualitrace_monitors.judges.contract import JudgeError

MAX_REPLY = 100_000
"""Characters of a reply that are searched for the verdict."""


class Verdict(BaseModel):
    """Evidence and reason, then a score from 0 (worst) to 1 (best) and the verdict."""

    evidence: str
    reason: str
    score: float
    verdict: Literal["pass", "fail", "unsure"]

    # Not as bounds of the field: some providers refuse a JSON schema with bounds, or with defaults.
    @field_validator("score")
    @classmethod
    def _within_bounds(cls, score: float) -> float:
        if not 0 <= score <= 1:
            raise ValueError(f"must be from 0 to 1 (got {score:g})")
        return score


def read_verdict(reply: str) -> Verdict:
    """Find the verdict in a reply: a JSON object, bare, fenced as code, or amid prose.

    Of several objects the last one that is a verdict counts: models think first. Numbers may be written as strings; a
    score outside 0 to 1 is refused, for its scale could only be guessed.

    Raises:
        JudgeError: there is no verdict in it.
    """
    problem = "no JSON object"
    found: Verdict | None = None
    for candidate in _objects(reply[:MAX_REPLY]):
        try:
            fields = {key: _plain(value) for key, value in candidate.items()}
            found = Verdict.model_validate({"evidence": "", "reason": "", **fields})
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]
            problem = f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
    if found is None:
        shown = " ".join(reply[:200].split())
        raise JudgeError(f"the model's reply is no verdict ({problem}): {shown!r}")
    return found


def _plain(value: Any) -> Any:
    """Trim a string and take its case away where it is a verdict."""
    if isinstance(value, str) and value.strip().lower() in ("pass", "fail", "unsure"):
        return value.strip().lower()
    return "" if value is None else value


def _objects(reply: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a text, outermost only, in order."""
    decoder = json.JSONDecoder(strict=False)
    start = reply.find("{")
    attempts = 0
    while start >= 0 and attempts < 100:
        attempts += 1
        try:
            value, end = decoder.raw_decode(reply, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            if isinstance(value, dict):
                yield value
        start = reply.find("{", end)
