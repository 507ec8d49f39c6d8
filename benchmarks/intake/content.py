"""Questions, passages and answers about an invented public library: as varied as real text, and repeatable."""

import random
from dataclasses import dataclass

_THINGS = "reading room,music studio,map archive,tool shelf,seed exchange,film booth,print shop,bicycle loan".split(",")
_PEOPLE = "members,visitors,students,teachers,researchers,families".split(",")
_RULES = (
    "The {thing} is open to {people} from {start} to {end} o'clock, and on Sundays until noon.",
    "{people} may book the {thing} up to {count} days ahead, at the desk or by telephone.",
    "A place in the {thing} costs {price} euros an hour; the first {count} minutes are free.",
    "Whoever returns something to the {thing} late pays {price} euros for each day, at most {count} euros.",
    "Groups of more than {count} {people} ask the keeper of the {thing} for a date of their own.",
    "Food stays outside the {thing}, but bottles that close may be kept in locker {count}.",
    "In the {thing} at most {count} {people} are let in at once, so that everybody finds a seat.",
    "Damage in the {thing} is told to the desk on the same day; repairs take about {count} days.",
)
_QUESTIONS = (
    "How do I book the {thing}, and what does it cost for {people}?",
    "When is the {thing} open, and what happens if I come back late?",
    "May {people} bring food into the {thing}, and how many of us fit in?",
)


@dataclass(frozen=True)
class Exchange:
    """A question, the passages found for it and the answer given."""

    question: str
    passages: tuple[str, ...]
    answer: str


def make_exchange(seed: int) -> Exchange:
    """Return the same exchange for the same `seed`."""
    chance = random.Random(seed)
    words = {"thing": chance.choice(_THINGS), "people": chance.choice(_PEOPLE)}
    facts = [_fact(rule, words, chance) for rule in chance.sample(_RULES, len(_RULES))]
    passages = tuple(" ".join(facts[start : start + 4]) for start in range(4))
    return Exchange(
        question=chance.choice(_QUESTIONS).format(**words),
        passages=passages,
        answer=" ".join(facts[:3]) + " Please ask at the desk if anything is unclear.",
    )


def _fact(rule: str, words: dict[str, str], chance: random.Random) -> str:
    start = chance.randint(7, 11)
    numbers = {"start": start, "end": start + chance.randint(5, 10), "count": chance.randint(2, 40)}
    text = rule.format(price=f"{chance.randint(1, 9)}.{chance.randint(10, 99)}", **numbers, **words)
    return text[0].upper() + text[1:]
