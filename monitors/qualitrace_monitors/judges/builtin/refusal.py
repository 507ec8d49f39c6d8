"""Refusal: did the application answer (1), or decline to help (0)?"""

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.builtin.refusals import is_refusal, is_unknowing
from qualitrace_monitors.judges.contract import NotApplicable
from qualitrace_monitors.judges.local.language import UNMEASURED, is_all_english
from qualitrace_monitors.judges.local.rules import Finding, Rules
from qualitrace_monitors.judges.local.text import MAX_ANSWER, quote, sentences


def assess_refusal(sample: Sample) -> Finding:
    """Rate whether the answer helps; one that says only that it does not know leaves the judge unsure."""
    answer = sample.outputs[:MAX_ANSWER]
    if not answer.strip():
        raise NotApplicable("the sample has no outputs")
    truncated = ("outputs",) if len(sample.outputs) > MAX_ANSWER else ()
    if is_refusal(answer):
        return Finding(0.05, f"The answer declines: {quote(answer)}.", truncated)
    if all(is_unknowing(sentence) for sentence in sentences(answer)):
        return Finding(0.45, f"The answer says only that it does not know: {quote(answer)}.", truncated)
    doubt = "" if is_all_english(answer, sample.inputs[:MAX_ANSWER]) else UNMEASURED
    return Finding(0.95, "The answer does not open by declining.", truncated, doubt)


REFUSAL = Rules("refusal", assess_refusal, pass_at=0.6, doubt=0.2)
