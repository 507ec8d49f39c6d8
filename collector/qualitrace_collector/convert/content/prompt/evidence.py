"""Whether a marked text reads as material to answer from."""

import re
from typing import NamedTuple

from qualitrace_collector.convert.content.prompt.marks import (
    CODE,
    CODE_ENDS,
    ENVIRONMENT,
    OWN_WORDS,
    PLACEHOLDER,
    TO_MODEL,
    Proof,
)
from qualitrace_collector.convert.content.prompt.parts import sentences, words_only

_MAX_WEIGHED = 20_000
"""Characters of a marked text that are weighed; its beginning shows what it is."""

_MAX_PLACEHOLDER = 200
_MAX_END = 40
"""Characters of a text that may be a placeholder, and of a sentence's end: their patterns look twice at each."""

_WORD = re.compile(r"[^\W\d_]{2,}|\d")
_ENDED = re.compile(r"[.!?:;。！？…][\"'”’»)\]]{0,3}\s*\Z")
_ASKS = re.compile(r"[?？]\W*\Z")
_DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
_BULLET = re.compile(r"\s*(?:[-*•+]|\d{1,2}[.)])\s")
_WORDS_OF_A_STATEMENT = 4
_WORDS_OF_A_CUT_STATEMENT = 8
_MOSTLY = 0.5
_HARDLY = 0.25


class Setting(NamedTuple):
    """What stands beside a marked text: an introduction (`LEAD`), a question, and labels of its parts."""

    led: bool
    asked: bool
    labelled: bool


def shows(proof: Proof, text: str, setting: Setting) -> bool:
    """Whether a marked text shows a proof."""
    text = text[:_MAX_WEIGHED]
    said = sentences(words_only(text))
    orders = [TO_MODEL.match(sentence) is not None for sentence in said]
    share = sum(orders) / max(1, len(orders))
    if _is_placeholder(text.strip()) or not _filled(said) or share >= _MOSTLY:
        return False
    if any(ENVIRONMENT.match(sentence) for sentence in said[:3]) or (not setting.led and _is_code(text)):
        return False
    stated = sum(_states(sentence, setting.led) for sentence, order in zip(said, orders, strict=True) if not order)
    own = OWN_WORDS.match(said[0]) is not None
    beside = setting.led or setting.asked
    shown = {
        Proof.FILLED: True,
        Proof.STATED: (stated > 0 or setting.labelled) and (beside or not own),
        Proof.ASKED: (stated > 0 or setting.labelled) and beside and not own,
        Proof.FACTS: share <= _HARDLY and stated >= (1 if setting.led else 2),
        Proof.LED: share <= _HARDLY and stated >= 1 and setting.led,
    }
    return shown[proof]


def _is_placeholder(text: str) -> bool:
    return len(text) <= _MAX_PLACEHOLDER and PLACEHOLDER.fullmatch(text) is not None


def _filled(said: list[str]) -> bool:
    words = sum(_words(sentence) for sentence in said)
    return words >= 3 or any(_ENDED.search(sentence) and _words(sentence) for sentence in said)


def _words(sentence: str) -> int:
    dense = len(_DENSE.findall(sentence))
    return len(_WORD.findall(sentence)) if not dense else max(1, dense // 2)


def _is_code(text: str) -> bool:
    lines = [line for line in text.split("\n") if line.strip()]
    return sum(CODE.match(line) is not None or line.rstrip().endswith(CODE_ENDS) for line in lines) > _HARDLY * len(
        lines
    )


def _states(sentence: str, led: bool) -> bool:
    if not led and _BULLET.match(sentence):
        return False
    needed = _WORDS_OF_A_STATEMENT if _ENDED.search(sentence) else _WORDS_OF_A_CUT_STATEMENT
    return not _ASKS.search(sentence[-_MAX_END:]) and _words(sentence) >= needed
