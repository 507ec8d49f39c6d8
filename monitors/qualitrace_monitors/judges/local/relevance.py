"""Relevance: does the answer speak to the question?

Three signs count: words of the question that come back in the answer (also as an acronym), for a short answer whether
it is of the kind that was asked for (a number, a name, yes or no), and whether the answer declines.
"""

import math
import re

from qualitrace_collector.samples import Sample
from qualitrace_monitors.judges.contract import NotApplicable
from qualitrace_monitors.judges.local.evidence import Vocabulary
from qualitrace_monitors.judges.local.refusals import is_refusal, is_unknowing
from qualitrace_monitors.judges.local.rules import Finding, Rules
from qualitrace_monitors.judges.local.text import MAX_ANSWER, Word, quote, sentences, stem, words

SHORT = 12
"""An answer of at most this many words need not repeat the question."""
_LETTERS = re.compile(r"[^\W\d_]+")
_ACRONYM = re.compile(r"\b[a-z]?[A-Z]{2,8}s?\b")
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
_YES_NO = re.compile(r"^\s*(?:yes|no|not|yeah|nope|correct|true|false|only|it depends)\b", re.IGNORECASE)
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
    asked = [word for word in words(question) if not word.stop]
    answered = words(answer)
    first = quote((sentences(answer) or [answer])[0])
    if all(is_unknowing(sentence) or is_refusal(sentence) for sentence in sentences(answer)):
        return Finding(0.1, f"The answer declines: {first}.", truncated)
    value, shared, total = _overlap(question, answer, asked, answered)
    reason = f"{shared} of the {total} content words of the question come back in {first}"
    if len(answered) <= SHORT and (kind := _kind_asked(question)):
        fits = _is_of_kind(kind, answer, answered)
        value = max(value, 0.7) if fits else min(value, 0.4) if not shared else value
        reason += f"; a {kind} was asked for and {'given' if fits else 'not given'}"
    elif len(answered) <= SHORT or not asked:
        value = max(value, 0.45)
        reason += "; too short to tell" if asked else "; the question has no content words"
    return Finding(value, reason + ".", truncated)


def _overlap(question: str, answer: str, asked: list[Word], answered: list[Word]) -> tuple[float, int, int]:
    """Rate the return of the question's words: (value, how many came back, how many there are)."""
    known = Vocabulary()
    known.add([word for word in answered if not word.stop])
    by_acronym = _spelled_by_acronyms(question, answer)
    distinct = {word.stem: word for word in asked}
    credits = {name: 1.0 if name in by_acronym else known.credit(word) for name, word in distinct.items()}
    weights = {name: min(len(name), 12) ** 0.8 for name in distinct}
    shared = sum(credit > 0 for credit in credits.values())
    share = sum(credits[name] * weights[name] for name in distinct) / (sum(weights.values()) or 1.0)
    return 1 - math.exp(-(1.1 * math.log1p(shared) + share) / 1.6), shared, len(distinct)


def _spelled_by_acronyms(question: str, answer: str) -> set[str]:
    """Stems of the question's words that stand in the answer as initials (`prostate cancer`: PC)."""
    acronyms = {match.group().removesuffix("s").lower() for match in _ACRONYM.finditer(answer)}
    spelled: set[str] = set()
    everything = [token.lower() for token in _LETTERS.findall(question)]
    content = [token for token in everything if not all(word.stop for word in words(token))]
    for tokens in (everything, content):
        initials = "".join(token[0] for token in tokens)
        for acronym in acronyms:
            start = initials.find(acronym)
            if start >= 0:
                spelled.update(stem(token) for token in tokens[start : start + len(acronym)])
    return spelled


def _kind_asked(question: str) -> str | None:
    return next((kind for kind, pattern in _KINDS.items() if pattern.search(question)), None)


def _is_of_kind(kind: str, answer: str, answered: list[Word]) -> bool:
    if kind == "number":
        return any(word.number for word in answered) or _TIME.search(answer) is not None
    if kind == "name":
        return any(word.capitalised and not word.stop for word in answered) and not _starts_with_number(answered)
    return _YES_NO.search(answer) is not None


def _starts_with_number(answered: list[Word]) -> bool:
    return bool(answered) and answered[0].number


RELEVANCE = Rules("relevance", assess_relevance, pass_at=0.6, doubt=0.2)
