"""Which kind of answer a question asks for, a number, a name, or yes or no, and whether a short answer is of it."""

import re
from typing import Literal

from qualitrace_monitors.judges.local.normal import stem
from qualitrace_monitors.judges.local.text import sentences, words

Kind = Literal["number", "name", "yes or no"]

_KINDS: dict[Kind, re.Pattern[str]] = {
    "number": re.compile(
        r"\b(?:when|how (?:many|much|long|old|far|often|tall|big|fast)|what (?:year|date|time|age|percentage|number"
        r"|price|day)|what is the (?:number|price|cost|date|population|age|limit|fee))\b",
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
    r"\b(?:daily|weekly|monthly|yearly|annually|always|never|once|twice|forever|today|tomorrow|yesterday|morning|noon"
    r"|evening|night|midnight|(?:mon|tues|wednes|thurs|fri|satur|sun)days?|none|several|many|free|no limit)\b",
    re.IGNORECASE,
)
_WHERE = re.compile(r"\bwhere\b", re.IGNORECASE)
_PLACE = re.compile(
    r"\W*(?:[\w'’]+ ){0,3}(?:at|in|inside|on|under|behind|near|next|above|below|beside|opposite|across|between"
    r"|(?:up|down)stairs|outside|here|everywhere|online)\b",
    re.IGNORECASE,
)
# A place by its name, as the answer begins: what follows (`near the river`) tells more of it.
_NAMED_PLACE = re.compile(r"\W*(?i:at|in|inside|on|near|next to|behind|opposite) (?:the )?[A-Z]")
# Capitalised words that name nobody and no place.
_CALENDAR = frozenset(
    stem(word)
    for word in """monday tuesday wednesday thursday friday saturday sunday january february march april may june july
    august september october november december""".split()
)
_PARTICLE = 3  # letters of a word that may stand within a name (de, van, der)


def kind_asked(question: str) -> Kind | None:
    """Return the kind of answer that a question asks for, None if it may be any."""
    return next((kind for kind, pattern in _KINDS.items() if pattern.search(question)), None)


def is_of_kind(kind: Kind, question: str, answer: str) -> bool | None:
    """Whether a short answer is of the kind that was asked for; None if that cannot be told."""
    if kind == "number":
        return any(word.number for word in words(answer)) or _TIME.search(answer) is not None
    if kind == "name":
        # Who writes without capitals gets such names, too; and not every place has a name.
        nameless = question.islower() or (_WHERE.search(question) and _PLACE.match(answer))
        given = _gives_name(question, answer)
        if given is None and _WHERE.search(question) and _NAMED_PLACE.match(answer):
            return True
        return None if nameless and given is False else given
    return _YES_NO.search((sentences(answer) or [answer])[0]) is not None


def _gives_name(question: str, answer: str) -> bool | None:
    """Whether an answer gives a name that was asked for; None if it has one and may be about something else.

    A name alone does, and so does a text in which names are at least half of what the question did not say.
    """
    asked = {word.stem for word in words(question)}
    only_names, names, told, new = True, 0, 0, 0
    for sentence in map(words, sentences(answer)):
        is_name = [word.capitalised and not word.stop and word.stem not in _CALENDAR for word in sentence]
        for at, word in enumerate(sentence):
            # A short word between two names is a part of them, as in `Palacio de los Deportes`.
            within = len(word.stem) <= _PARTICLE and any(is_name[:at]) and any(is_name[at + 1 :])
            if word.stop or word.number or (within and not is_name[at]):
                continue
            # The word that opens a sentence is capitalised whatever it is, unless the next one is as well.
            opens = at == 0 and not any(is_name[1:2])
            only_names &= is_name[at]
            names += is_name[at]
            new += word.stem not in asked
            told += is_name[at] and not opens and word.stem not in asked
    if not names:
        return False
    shouted = names > 1 and answer.isupper()
    return True if not shouted and (only_names or 0 < told >= new - told) else None
