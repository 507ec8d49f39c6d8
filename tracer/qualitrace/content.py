"""Whether prompts, answers, arguments and documents are recorded, here and in the instrumentors."""

import os

CONTENT_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
CONTENT_ON_SPANS = ("span_only", "span_and_event")


def captures_content() -> bool:
    """Return whether content is recorded on spans."""
    return os.environ.get(CONTENT_VARIABLE, "").lower() in CONTENT_ON_SPANS


def capture_content(wanted: bool) -> None:
    """Record content on spans or not, here and in the instrumentors, which read the same variable."""
    if captures_content() != wanted:  # else the user's own mode stays: span_and_event says yes, too
        os.environ[CONTENT_VARIABLE] = "span_only" if wanted else "no_content"
