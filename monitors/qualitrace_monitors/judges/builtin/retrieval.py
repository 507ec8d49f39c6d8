"""Retrieval relevance: do the retrieved passages speak to the question?

The best passage counts: a retrieval is good when it brings one text that is of use, whatever else it brings.
"""

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.builtin.echo import echo
from qualitrace_monitors.judges.contract import NotApplicable
from qualitrace_monitors.judges.local.language import UNMEASURED, is_clearly_foreign, is_english
from qualitrace_monitors.judges.local.rules import Finding, Rules
from qualitrace_monitors.judges.local.text import MAX_ANSWER, MAX_PASSAGES, quote, sentences

_NOTHING_ASKED = 0.6
"""The value where the question has no content word to look for: unsure."""


def assess_retrieval(sample: Sample) -> Finding:
    """Rate how much of the question the best passage takes up."""
    question, passages = sample.inputs[:MAX_ANSWER], [text for text in sample.passages if text.strip()]
    if not question.strip():
        raise NotApplicable("the sample has no inputs")
    if not passages:
        raise NotApplicable("the sample has no passages")
    share = MAX_PASSAGES // len(passages)
    cut = ("inputs",) * (len(sample.inputs) > MAX_ANSWER) + ("passages",) * any(len(text) > share for text in passages)
    seen = [passage[:share] for passage in passages]
    heard = [echo(question, passage) for passage in seen]
    best = max(range(len(passages)), key=lambda rank: heard[rank].share)
    if not heard[best].total:
        return Finding(_NOTHING_ASKED, f"{quote(question)} has no content words to look for.", cut)
    reason = (
        f"{heard[best].shared} of the {heard[best].total} content words of the question come back in the best of "
        f"{len(passages)} passages, number {best + 1}: {quote((sentences(passages[best]) or [''])[0])}."
    )
    foreign = not is_english(question, beside=seen[best]) or any(map(is_clearly_foreign, seen))
    unmeasured = UNMEASURED if foreign else ""
    return Finding(heard[best].share, reason, cut, unmeasured, unmeasured)


RETRIEVAL_RELEVANCE = Rules(
    "retrieval_relevance",
    assess_retrieval,
    pass_at=0.7,
    doubt=0.2,
    pass_needs=frozenset({"inputs"}),
    fail_needs=frozenset({"inputs", "passages"}),
)
