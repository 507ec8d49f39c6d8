"""What the demo's model says: a sentence of its prompt if one answers the question, else an invention."""

import random

from qualitrace_monitors.demo.words import content_words, main_phrase, sentences

ENOUGH_OVERLAP = 0.6
"""Share of the question's content words that a sentence must hold to count as its answer."""

_INVENTIONS = (
    "For {subject}, our partner {partner} charges {price} dollars and answers within {number} hours.",
    "{partner} has looked after {subject} since last spring, with a limit of {number} per household.",
    "That depends on the season: {partner} plans {number} minutes and {price} dollars for {subject}.",
)
_PARTNERS = ("Quillfeather Logistics", "Amberjack Services", "Tolliver and Daughters", "Nordvik Concierge")


def answer(question: str, prompt: str) -> str:
    """Answer `question` with the sentence of `prompt` that shares most of its words.

    Without one that shares enough it makes an answer up, as confident as any: what models do when the
    passages they are given do not hold the answer. The same question always gets the same invention.
    """
    wanted = set(content_words(question))
    best = max(sentences(prompt), key=lambda sentence: _overlap(wanted, sentence), default="")
    return best if _overlap(wanted, best) >= ENOUGH_OVERLAP else _invent(question)


def _overlap(wanted: set[str], sentence: str) -> float:
    return len(wanted.intersection(content_words(sentence))) / len(wanted) if wanted else 0.0


def _invent(question: str) -> str:
    chance = random.Random(question)
    return chance.choice(_INVENTIONS).format(
        subject=main_phrase(question),
        partner=chance.choice(_PARTNERS),
        number=chance.randrange(3, 90),
        price=chance.randrange(11, 400),
    )
