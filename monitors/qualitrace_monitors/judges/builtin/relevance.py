"""Relevance of an answer, and of a retrieval: do they speak to the question?

Three signs count for an answer: words of the question that come back in it (also as an acronym), for a short answer
whether it is of the kind that was asked for (a number, a name, yes or no), and whether it declines. A short turn of a
conversation ("the second one", "24") is read with the turns before it, whose words may come back as well; if none
does, that is not a fail.

For a retrieval the best passage counts: one useful text makes it good, whatever else it brings.
"""

import math
import re
from typing import NamedTuple

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.builtin.refusal import declines
from qualitrace_monitors.judges.contract import BuiltinMetric, Finding, TextName
from qualitrace_monitors.judges.local.answer_kind import is_of_kind, kind_asked
from qualitrace_monitors.judges.local.language import UNMEASURED, is_all_english, is_clearly_foreign, is_english
from qualitrace_monitors.judges.local.normal import stem
from qualitrace_monitors.judges.local.text import (
    MAX_ANSWER,
    MAX_PASSAGES,
    Vocabulary,
    quote,
    sentences,
    without_citations,
    words,
)

SHORT = 12  # an answer of at most this many words need not repeat the question
# Words up to which a turn may not be understood by itself, words up to which it may reply to the application's
# question, and the earlier turns that such a turn is read with.
SHORT_TURN, SHORT_REPLY, TURNS = 5, 12, 4
PASS_AT = 0.6
# The lowest value of an answer to a short turn: it may speak to it without a word of the turns before.
_CONTINUES = 0.45
_TOO_SHORT = 0.45  # the lowest value where the rules cannot tell whether a short text is an answer
# The lowest value of a short answer that is of the kind that was asked for, is not, or may be.
_GIVEN = {True: (0.7, "given"), False: (0.0, "not given"), None: (_TOO_SHORT, "perhaps given")}
_NOTHING_ASKED = 0.6  # the value of a retrieval for a question without content words: unsure
_FOLLOWS = re.compile(r"\s*(?:and|or|but|also|then|so|what about|how about|what if|why|why not)\b", re.IGNORECASE)
_ASKS = re.compile("[?？؟]")
_LETTERS = re.compile(r"[^\W\d_]+")
_ACRONYM = re.compile(r"\b[a-z]?[A-Z]{2,8}s?\b")


class Echo(NamedTuple):
    """How much of a question's distinct content words comes back in a text.

    Attributes:
        share: their weighted share, 0 to 1; longer words weigh more.
        shared: how many come back at least in part.
        total: how many there are.
    """

    share: float
    shared: int
    total: int


def assess_relevance(sample: Sample) -> Finding:
    """Rate how far the answer speaks to the question; to decline is not an answer."""
    question, answer = sample.inputs, without_citations(sample.outputs, sample.inputs)
    turns = _turns_before(sample, question)
    first = quote((sentences(answer) or [answer])[0])
    foreign = not (is_all_english(answer, f"{turns}\n{question}") and is_english(question, turns or answer))
    unmeasured = UNMEASURED if foreign else ""
    if all(map(declines, sentences(answer))):
        return Finding(0.1, f"The answer declines: {first}.")
    value, reason = _value(question, answer, first)
    if turns and value < PASS_AT:
        value = max(value, _rate(echo(turns, answer)), _CONTINUES)
        reason += "; it is a short turn of a conversation, which the answer may continue"
    return Finding(value, reason + ".", doubt=unmeasured, excuse=unmeasured)


def assess_retrieval(sample: Sample) -> Finding:
    """Rate how much of the question comes back in the best passage."""
    question, passages = sample.inputs, [text for text in sample.passages if text.strip()]
    share = MAX_PASSAGES // len(passages)
    cut: tuple[TextName, ...] = ("passages",) * any(len(text) > share for text in passages)
    seen = [passage[:share] for passage in passages]
    echoes = [echo(question, passage) for passage in seen]
    best = max(range(len(passages)), key=lambda rank: echoes[rank].share)
    if not echoes[best].total:
        return Finding(_NOTHING_ASKED, f"{quote(question)} has no content words to look for.", cut)
    reason = (
        f"{echoes[best].shared} of the {echoes[best].total} content words of the question come back in the best of "
        f"{len(passages)} passages, number {best + 1}: {quote((sentences(passages[best]) or [''])[0])}."
    )
    foreign = not is_english(question, beside=seen[best]) or any(map(is_clearly_foreign, seen))
    unmeasured = UNMEASURED if foreign else ""
    return Finding(echoes[best].share, reason, cut, unmeasured, unmeasured)


def _turns_before(sample: Sample, question: str) -> str:
    """Return the turns that a short turn of a conversation is read with; nothing for a question that stands alone."""
    spoken = [turn.content for turn in sample.conversation if turn.role in ("user", "assistant")]
    if not spoken:
        return ""
    asked = words(question)
    content = sum(not word.stop for word in asked)
    longest = SHORT_REPLY if _ASKS.search(spoken[-1]) else SHORT_TURN
    replies = len(asked) <= longest and not _ASKS.search(question)
    # "yes", "24" or "the second one" have no words that an answer could repeat.
    if content <= 1 or replies or _FOLLOWS.match(question):
        return "\n".join(spoken[-TURNS:])[-MAX_ANSWER:]
    return ""


def _value(question: str, answer: str, first: str) -> tuple[float, str]:
    """Rate an answer by the words of the question that come back, or by its kind where it is short."""
    answered, echoed = words(answer), echo(question, answer)
    value = _rate(echoed)
    reason = f"{echoed.shared} of the {echoed.total} content words of the question come back in {first}"
    kind = kind_asked(question)
    if len(answered) <= SHORT and kind:
        fits = is_of_kind(kind, question, answer)
        at_least, given = _GIVEN[fits]
        value = max(value, at_least)
        reason += f"; a {kind} was asked for and {given}"
    elif len(answered) <= SHORT or not echoed.total:
        value = max(value, _TOO_SHORT)
        reason += "; too short to tell" if echoed.total else "; the question has no content words"
    return value, reason


def _rate(echoed: Echo) -> float:
    """Rate the number of words that come back, and their share: a long answer need not repeat a long question."""
    return 1 - math.exp(-(1.1 * math.log1p(echoed.shared) + echoed.share) / 1.6)


def echo(question: str, text: str) -> Echo:
    """Look for the question's content words in a text: by their stems, their first letters, or as an acronym."""
    known = Vocabulary()
    known.add([word for word in words(text) if not word.stop])
    by_acronym = _spelled_by_acronyms(question, text)
    asked = {word.stem: word for word in words(question) if not word.stop}
    credits = {name: 1.0 if name in by_acronym else known.credit(word) for name, word in asked.items()}
    weights = {name: min(len(name), 12) ** 0.8 for name in asked}  # long words say more, as in `grounding`
    share = sum(credits[name] * weights[name] for name in asked) / (sum(weights.values()) or 1.0)
    return Echo(share, sum(credit > 0 for credit in credits.values()), len(asked))


def _spelled_by_acronyms(question: str, text: str) -> set[str]:
    """Return the stems of the question's words that the text has as initials (`prostate cancer`: PC)."""
    acronyms = {match.group().removesuffix("s").lower() for match in _ACRONYM.finditer(text)}
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


RELEVANCE = BuiltinMetric(
    name="relevance",
    asks="does the answer address the question?",
    needs=("inputs", "outputs"),
    version=2,
    rules="words of the question that return, also as acronyms; for short answers, the kind asked for",
    assess=assess_relevance,
    pass_at=PASS_AT,
    whole_for_pass=("inputs",),
    whole_for_fail=("inputs", "outputs"),
    criterion_version=1,
    criterion=(
        "Relevance: does the answer address what the question asks? It need not be true. An answer that evades, "
        "declines or speaks of something else is not relevant."
    ),
)
RETRIEVAL_RELEVANCE = BuiltinMetric(
    name="retrieval_relevance",
    asks="do the passages speak to the question?",
    needs=("inputs", "passages"),
    version=1,
    rules="weighted share of the question's content words in the best passage",
    assess=assess_retrieval,
    pass_at=0.7,
    whole_for_pass=("inputs",),
    whole_for_fail=("inputs", "passages"),
    criterion_version=1,
    criterion=(
        "Relevance of the retrieval: does the document hold what is needed to answer the question? Judge the best of "
        "its numbered passages; that others are of no use does not matter."
    ),
)
