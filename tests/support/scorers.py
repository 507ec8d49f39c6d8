"""Scorers of a user's own, as `python:support.scorers:name` finds them."""

from threading import Event

from mlflow.entities import Feedback
from mlflow.genai.scorers import scorer


@scorer
def short(outputs: str) -> bool:
    """Answers of up to ten characters are good."""
    return len(outputs) <= 10


@scorer
def from_trace(trace: object) -> Feedback:
    """Return what of the sample is in the trace."""
    spans = trace.data.spans  # type: ignore[attr-defined]
    kinds = ",".join(span.span_type for span in spans)
    passages = [document["page_content"] for span in spans[1:] for document in span.outputs]
    return Feedback(value=0.75, rationale=f"{kinds} {passages} {spans[0].inputs} {spans[0].outputs}")


@scorer
def out_of_scale() -> int:
    """A value without a known scale."""
    return 5


@scorer
def nothing() -> None:
    """No value."""


@scorer
def busy() -> bool:
    """A provider that cannot be reached."""
    raise ConnectionError("refused")


@scorer
def without_index() -> bool:
    """A retrieval of its own that fails."""
    raise ValueError("the retriever's index is gone")


not_a_scorer = len


@scorer
def echo(outputs: str) -> str:
    """Say what the answer says, as a scorer does whose verdicts are words."""
    return outputs


@scorer
def endless(outputs: str) -> bool:
    """Wait for an answer that never comes; the thread is a daemon."""
    return Event().wait()
