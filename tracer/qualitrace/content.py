"""Whether prompts, answers, arguments and documents are recorded: one switch for us and the instrumentors."""

import os

VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
MODES_ON_SPANS = ("span_only", "span_and_event")


def captures_content() -> bool:
    """Tell whether content is recorded on spans."""
    return os.environ.get(VARIABLE, "").lower() in MODES_ON_SPANS


def capture_content(wanted: bool) -> None:
    """Record content on spans or not; a mode of the user's that says the same is kept."""
    if captures_content() != wanted:
        os.environ[VARIABLE] = "span_only" if wanted else "no_content"
