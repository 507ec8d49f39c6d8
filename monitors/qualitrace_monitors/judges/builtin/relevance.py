"""Relevance: does the answer speak to the question?

Three signs count: words of the question that come back in the answer (also as an acronym), for a short answer whether
it is of the kind that was asked for (a number, a name, yes or no), and whether the answer declines. A short turn of a
conversation ("the second one", "24") is read with the turns before it, whose words may come back as well; that none
does is no fail.
"""

import math
import re
from collections.abc import Sequence

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.builtin.echo import Echo, echo
from qualitrace_monitors.judges.builtin.refusals import is_refusal, is_unknowing
from qualitrace_monitors.judges.contract import NotApplicable
from qualitrace_monitors.judges.local.language import UNMEASURED, is_all_english, is_english
from qualitrace_monitors.judges.local.rules import Finding, Rules
from qualitrace_monitors.judges.local.text import MAX_ANSWER, quote, sentences, words
from qualitrace_monitors.judges.local.word import Word

SHORT = 12
"""An answer of at most this many words need not repeat the question."""
SHORT_TURN, SHORT_REPLY, TURNS = 5, 12, 4
"""Words of a turn that can hardly be understood by itself, words of one that replies to the application's question, and
the turns before that either is read with."""
PASS_AT = 0.6
_CONTINUES = 0.45
"""The least value of an answer to a short turn: it may speak to it without a word of the turns before."""
_FOLLOWS = re.compile(r"\s*(?:and|or|but|also|then|so|what about|how about|what if|why|why not)\b", re.IGNORECASE)
_ASKS = re.compile("[?？؟]")
_KINDS = {
    "number": re.compile(
        r"\b(?:when|how (?:many|much|long|old|far|often|tall|big|fast)"
        r"|what (?:year|date|time|age|percentage|number|price|day)"
        r"|what is the (?:number|price|cost|date|population|age|limit|fee))\b",
        re.IGNORECASE,
    ),
    "name": re.compile(
        r"\b(?:who|whose|whom|where|what is the (?:\w+ )?name|which (?:city|country|person|team))\b",
        re.IGNORECASE,
    ),
    "yes or no": re.compile(
        r"^\s*(?:is|are|was|were|do|does|did|can|could|may|will|would|has|have|had|should)\b",
        re.IGNORECASE,
    ),
}
_YES_NO = re.compile(
    r"\b(?:yes|no|not|yeah|nope|correct|true|false|only|it depends|of course|absolutely|certainly|definitely|sure|never"
    r"|always|unfortunately|you (?:can|may)|(?:it|that|they|we|he|she) (?:is|are|was|were|do|does|did|can|will))\b"
    r"|n['’]t\b",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"\b(?:daily|weekly|monthly|yearly|annually|always|never|once|twice|forever|today|tomorrow|yesterday"
    r"|morning|noon|evening"
    r"|night|midnight|(?:mon|tues|wednes|thurs|fri|satur|sun)days?|none|several|many|free|no limit)\b",
    re.IGNORECASE,
)


def assess_relevance(sample: Sample) -> Finding:
    """Rate how far the answer speaks to the question; to decline is no answer."""
    question, answer = sample.inputs[:MAX_ANSWER], sample.outputs[:MAX_ANSWER]
    if not answer.strip():
        raise NotApplicable("the sample has no outputs")
    if not question.strip():
        raise NotApplicable("the sample has no inputs")
    truncated = tuple(name for name in ("inputs", "outputs") if len(getattr(sample, name)) > MAX_ANSWER)
    turns = _turns_before(sample, question)
    first = quote((sentences(answer) or [answer])[0])
    foreign = not (is_all_english(answer, f"{turns}\n{question}") and is_english(question, turns or answer))
    unmeasured = UNMEASURED if foreign else ""
    if all(is_unknowing(sentence) or is_refusal(sentence) for sentence in sentences(answer)):
        return Finding(0.1, f"The answer declines: {first}.", truncated)
    value, reason = _value(question, answer, first)
    if turns and value < PASS_AT:
        before = _rate(echo(turns, answer))
        value = max(value, before, _CONTINUES)
        reason += "; it is a short turn of a conversation, which the answer may continue"
    return Finding(value, reason + ".", truncated, unmeasured, unmeasured)


def _turns_before(sample: Sample, question: str) -> str:
    """Return the turns that a short turn of a conversation is read with; nothing for a question of its own."""
    spoken = [turn.content for turn in sample.conversation if turn.role in ("user", "assistant")]
    if not spoken:
        return ""
    asked = words(question)
    content = sum(not word.stop for word in asked)
    longest = SHORT_REPLY if _ASKS.search(spoken[-1]) else SHORT_TURN
    replies = len(asked) <= longest and not _ASKS.search(question)
    if content <= 1 or replies or _FOLLOWS.match(question):
        return "\n".join(spoken[-TURNS:])[-MAX_ANSWER:]
    return ""


def _value(question: str, answer: str, first: str) -> tuple[float, str]:
    """Rate an answer by the words of the question that come back, or by its kind where it is short."""
    answered, heard = words(answer), echo(question, answer)
    value = _rate(heard)
    reason = f"{heard.shared} of the {heard.total} content words of the question come back in {first}"
    if len(answered) <= SHORT and (kind := _kind_asked(question)):
        fits = _is_of_kind(kind, answer, answered)
        value = max(value, 0.7) if fits else min(value, 0.4) if not heard.shared else value
        reason += f"; a {kind} was asked for and {'given' if fits else 'not given'}"
    elif len(answered) <= SHORT or not heard.total:
        value = max(value, 0.45)
        reason += "; too short to tell" if heard.total else "; the question has no content words"
    return value, reason


def _rate(heard: Echo) -> float:
    """Count the words that came back, and their share: a long answer to a long question need not repeat all of it."""
    return 1 - math.exp(-(1.1 * math.log1p(heard.shared) + heard.share) / 1.6)


def _kind_asked(question: str) -> str | None:
    return next((kind for kind, pattern in _KINDS.items() if pattern.search(question)), None)


def _is_of_kind(kind: str, answer: str, answered: Sequence[Word]) -> bool:
    if kind == "number":
        return any(word.number for word in answered) or _TIME.search(answer) is not None
    if kind == "name":
        return any(word.capitalised and not word.stop for word in answered) and not _starts_with_number(answered)
    return _YES_NO.search((sentences(answer) or [answer])[0]) is not None


def _starts_with_number(answered: Sequence[Word]) -> bool:
    return bool(answered) and answered[0].number


RELEVANCE = Rules(
    "relevance",
    assess_relevance,
    pass_at=PASS_AT,
    doubt=0.2,
    pass_needs=frozenset({"inputs"}),
    fail_needs=frozenset({"inputs", "outputs"}),
)
