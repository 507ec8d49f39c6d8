"""Consistent probability sampling of traces for judges.

The decision follows OpenTelemetry's consistent probability sampling (trace/tracestate-probability-sampling): a
trace's randomness is `rv` of its tracestate, else the low 56 bits of its trace id; it is in a sample of rate p if
randomness ≥ (1 - p) · 2^56. The same trace is thus in every sample of a higher rate, whichever process decides.
"""

from collections.abc import Sequence

from qualitrace_collector.convert.build_sample import is_error
from qualitrace_collector.convert.mlflow_span import AnySpan

MAX_RANDOMNESS = 1 << 56
FEEDBACK_EVENT = "gen_ai.evaluation.result"
_NEGATIVE_LABELS = {"fail", "failed", "negative", "bad", "thumbs_down", "incorrect", "no"}


def randomness(trace_id: str, tracestate: str) -> int:
    """Return the 56-bit randomness of a trace (`tr-` and hex digits), from `rv` where the client set it."""
    explicit = _ot_value(tracestate, "rv")
    if explicit is not None and len(explicit) == 14:
        return int(explicit, 16)
    return int(trace_id[-14:], 16)


def head_probability(tracestate: str) -> float:
    """Return the probability with which the client's head sampling kept this trace (`th`), else 1."""
    threshold = _ot_value(tracestate, "th")
    if threshold is None or not 1 <= len(threshold) <= 14:
        return 1.0
    return 1.0 - int(threshold.ljust(14, "0"), 16) / MAX_RANDOMNESS


def inclusion_probability(trace_id: str, tracestate: str, rate: float, *, always: bool) -> float | None:
    """Return the probability with which this trace came into the sample, or None if it did not.

    Args:
        trace_id: `tr-` and 32 hex digits.
        tracestate: the W3C tracestate of the root span.
        rate: the wanted share of all traffic, head sampling included.
        always: the trace is of a stratum that is always judged (then head sampling alone decides).
    """
    head = head_probability(tracestate)
    wanted = head if always else min(rate, head)
    if wanted <= 0:
        return None
    picked = always or randomness(trace_id, tracestate) >= (1 - wanted) * MAX_RANDOMNESS
    return wanted if picked else None


def in_always_stratum(root: AnySpan, spans: Sequence[AnySpan], strata: Sequence[str]) -> bool:
    """Whether the trace failed, or carries negative feedback, and such traces are always judged."""
    return ("error" in strata and is_error(root)) or (
        "negative_feedback" in strata and any(_has_negative_feedback(span) for span in spans)
    )


def is_negative(opinion: bool | float | str | None) -> bool:
    """Whether an opinion is a dislike: false, a number of zero or less, or a word such as `fail`."""
    return opinion.lower() in _NEGATIVE_LABELS if isinstance(opinion, str) else opinion is not None and opinion <= 0


def _has_negative_feedback(span: AnySpan) -> bool:
    """Whether an evaluation event (OTel GenAI: `gen_ai.evaluation.result`) on the span is negative."""
    for event in span.events:
        if event.name == FEEDBACK_EVENT:
            value = event.attributes.get("gen_ai.evaluation.score.value")
            label = str(event.attributes.get("gen_ai.evaluation.score.label", ""))
            if is_negative(label) or (isinstance(value, (int, float)) and is_negative(value)):
                return True
    return False


def _ot_value(tracestate: str, key: str) -> str | None:
    """Return the value of a sub-key of the `ot` entry of a tracestate, if it is hexadecimal."""
    for entry in tracestate.split(","):
        vendor, _, fields = entry.strip().partition("=")
        if vendor == "ot":
            for item in fields.split(";"):
                name, _, value = item.partition(":")
                if name == key and value and all(digit in "0123456789abcdef" for digit in value):
                    return value
    return None
