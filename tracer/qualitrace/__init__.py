"""Trace a GenAI application with OpenTelemetry and watch its quality.

`init` starts tracing, or `qualitrace run python app.py` does so without a change to the code. `trace` and
`span` add the app's own steps, `current_span` adds to the one that runs, `session`, `user` and `prompt` say who is
asking and with which prompt, `feedback` what people think of the answers. None of them ever breaks or holds up the app.
"""

from qualitrace.decorators import trace
from qualitrace.feedback import feedback
from qualitrace.libraries.start import instrument
from qualitrace.lifecycle import flush, init, shutdown, status
from qualitrace.session import prompt, session, user
from qualitrace.spans import Span, current_span, current_trace_id, span

__all__ = [
    "Span",
    "current_span",
    "current_trace_id",
    "feedback",
    "flush",
    "init",
    "instrument",
    "prompt",
    "session",
    "shutdown",
    "span",
    "status",
    "trace",
    "user",
]
