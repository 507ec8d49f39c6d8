"""Takes out of a text what a reader does not see, so that nothing in it speaks to the judge's model alone."""

import re
import unicodedata
from dataclasses import replace

from qualitrace_collector.sample import Message, Sample

# Control and formatting characters (among them zero-width spaces, marks of direction and tags) and lone surrogates.
_CATEGORIES = frozenset({"Cc", "Cf", "Cs"})

# Characters that Unicode calls default-ignorable but puts into other categories: the grapheme joiner, fillers of
# Hangul, vowels of Khmer, variation selectors, and the rest of the plane that has the tags.
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)

# What some programs show as a new line and others do not show at all.
_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")

_JOINERS = "\u200c\u200d"  # Persian, the scripts of India and composed emoji are misspelt without them


def cleaned(text: str) -> str:
    """Drop invisible characters, and bring all ends of lines to `\\n`.

    A zero-width joiner or non-joiner stays between two letters of scripts that need it, or two emoji.
    """
    text = _IGNORABLE.sub("", _LINE_ENDS.sub("\n", text))
    if text.isascii() and text.isprintable():
        return text
    return "".join(c for index, c in enumerate(text) if _is_seen(c) or _joins(text, index))


def cleaned_sample(sample: Sample) -> Sample:
    """Return the sample with the texts that judges look at cleaned; blank passages are left out."""
    passages = map(cleaned, sample.passages)
    return replace(
        sample,
        inputs=cleaned(sample.inputs),
        outputs=cleaned(sample.outputs),
        passages=tuple(passage for passage in passages if passage.strip()),
        conversation=tuple(Message(role=turn.role, content=cleaned(turn.content)) for turn in sample.conversation),
    )


def _is_seen(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in _CATEGORIES


def _joins(text: str, index: int) -> bool:
    around = text[index - 1 : index] + text[index + 1 : index + 2]
    return text[index] in _JOINERS and len(around) == 2 and all(map(_is_joined, around))


def _is_joined(character: str) -> bool:
    """Whether it is a letter of a script without capitals, one of its marks, or an emoji with its skin tone."""
    return unicodedata.category(character) in ("Lo", "Mn", "Mc", "So", "Sk")
