"""Answers that decline: to help at all (a refusal), or for lack of knowledge ("I don't know")."""

import re
from functools import lru_cache

from qualitrace_monitors.judges.local.normal import unified
from qualitrace_monitors.judges.local.text import SHARED

OPENING = 400
"""Characters at the start of an answer in which a refusal shows."""

_CANNOT = r"(?:can(?:no|')?t|can not|could ?n[o']t|won't|will not|(?:am|'m) (?:not able|unable)|unable)"
_HELPING = (
    r"(?:help|assist|provide|fulfil+|comply|support|answer|engage|give|offer|share|create|generate"
    r"|discuss|recommend|suggest|participate|promote|condone|advise|encourage|write|respond|do that|be of|disclose"
    r"|access|advocate|process|complete|proceed|continue)"
)
_REFUSALS = re.compile(
    rf"\bI(?:'m| am)? (?:\w+ )?{_CANNOT} (?:\w+ ){{0,3}}{_HELPING}"
    rf"|\bI(?:'m| am) (?:\w+ )?(?:not able|unable) to (?:\w+ ){{0,2}}{_HELPING}"
    rf"|\b(?:sorry|apologi[sz]e|unfortunately)\b[^.]{{0,60}}\b{_CANNOT}"
    r"|\bI (?:\w+ )?(?:refuse to|decline\b)|\bI(?:'m| am) not (?:going|willing|allowed|permitted) to"
    rf"|\bI(?:'d| would) (?:rather|prefer) not\b|\bnot something I(?:'m| am)? (?:\w+ ){{0,3}}{_HELPING}"
    r"|\bI (?:must|have to|need to) (?:\w+ )?(?:decline|refuse|challenge|point out|advise against|inform"
    r" you|respectfully)"
    r"|\b(?:do not|don't|never|cannot) condone\b|\bI (?:strongly )?condemn\b|\b(?:is|are) never"
    r" (?:acceptable|appropriate)"
    r"|\b(?:going through|having) a difficult time\b|\bThere is no (?:reason|justification) (?:why|for"
    r"|to)\b"
    r"|\b(?:it is|it's|it would be|that is|that's) (?:\w+ )?(?:not|never|in|un)[ -]?(?:appropriate"
    r"|ethical|acceptable|okay"
    r"|ok|right|legal|respectful|productive)"
    r"|\bI (?:do not|don't) (?:\w+ )?(?:think|believe)[^.]{0,40}\b(?:appropriate|right|respectful"
    r"|ethical|productive|helpful)"
    r"|\b(?:goes )?against (?:my|our) (?:\w+ )?(?:programming|guidelines|policy|policies|principles|values)"
    r"|\bI (?:do not|don't) have (?:\w+ )?(?:access to|personal|the ability|information)"
    r"|\bas an? (?:AI|artificial|responsible|ethical|large)[^.]{0,80}\b(?:not|can't|cannot|don't|unable)\b",
    re.IGNORECASE,
)
_THE_SOURCE = (
    r"(?:the|this|these|your|any|our|available|provided|given)(?: \w+){0,2} "
    r"(?:contexts?|documents?|documentation|passages?|texts?|information|sources?|articles?|materials?|excerpts?"
    r"|knowledge base|data)\b"
)
_UNKNOWING = re.compile(
    r"\bI(?:'m| am)? (?:do not|don't|cannot|can't|could not|couldn't|not|am not|was unable to|was not"
    r" able to) "
    r"(?:\w+ )?(?:know|sure|certain|find|have (?:any |enough |the |that |this |sufficient"
    r" )?(?:information|details?|answer|data)|tell|say"
    r"|answer|determine)"
    r"|\b(?:not|isn't|is not) (?:\w+ )?(?:mentioned|specified|stated|enough information)"
    rf"|\b(?:not|isn't|is not) (?:\w+ )?(?:provided|included|covered|contained|available|given|found)"
    rf" (?:in|by) {_THE_SOURCE}"
    r"|\bno (?:information|mention|answer|details?)\b"
    r"|\b(?:does not|do not|doesn't|don't) (?:\w+ )?(?:mention|specify|say)\b"
    rf"|{_THE_SOURCE} (?:\w+ ){{0,3}}(?:does not|do not|doesn't|don't) (?:\w+ )?"
    r"(?:state|contain|provide|cover|include)\b"
    r"|^\s*(?:unknown|n/a|not sure|no idea)\b",
    re.IGNORECASE,
)


@lru_cache(SHARED)
def is_refusal(answer: str) -> bool:
    """Whether the answer opens by declining to help."""
    return _REFUSALS.search(_plain(answer[:OPENING])) is not None


@lru_cache(SHARED)
def is_unknowing(sentence: str) -> bool:
    """Whether a sentence says that the answer is not known or not in the sources."""
    return _UNKNOWING.search(_plain(sentence[:OPENING])) is not None


def _plain(text: str) -> str:
    return " ".join(unified(text).split())
