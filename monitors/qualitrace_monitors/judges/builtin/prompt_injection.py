"""Prompt injection: do the question or the passages try to steer the model?

Patterns of known attempts, in English, and characters that a person would not see. A pass says that no known sign is
there, not that the text is harmless; a text in another language leaves the judge unsure.
"""

import re

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.contract import NotApplicable
from qualitrace_monitors.judges.local.language import UNMEASURED, is_all_english
from qualitrace_monitors.judges.local.normal import unified
from qualitrace_monitors.judges.local.rules import Finding, Rules
from qualitrace_monitors.judges.local.text import MAX_ANSWER, MAX_PASSAGES, quote, words

_BEFORE = r"(?:previous|prior|above|earlier|preceding|original|initial|system|your|all|these|those|any|the|my|of)"
_ORDERS = r"(?:instructions?|prompts?|rules?|guidelines?|directions?|directives?|commands?|programming|training)"
_SIGNS = {
    "an order to drop the instructions": (
        rf"\b(?:ignore|disregard|forget|override|bypass|skip) (?:{_BEFORE} ){{1,4}}{_ORDERS}\b"
    ),
    "a question for the hidden prompt": (
        r"\b(?:reveal|print|repeat|show|output|display|tell me|leak|what (?:is|are|were))\b[^.\n]{0,30}"
        r"\b(?:system|hidden|initial|original|secret) (?:prompt|instructions?|message)"
    ),
    "a new role without limits": (
        r"\b(?:you are now|act as|pretend (?:to be|you are)|from now on you)\b[^.\n]{0,60}"
        r"\b(?:DAN|jailbroken|unrestricted|unfiltered|no (?:rules|restrictions|limits|filters)|developer mode)\b"
        r"|\bdo anything now\b|\bdeveloper mode (?:enabled|on)\b"
    ),
    "a marker of a chat's roles": (
        r"<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id)\|>|\[/?INST\]|<</?SYS>>"
        r"|(?m:^[ \t]{0,8}(?:#{2,4} ?)?(?:new )?system(?: prompt| message)?:)"
    ),
    "an order to the model": (
        r"\b(?:note|message|instructions?|attention)[^.\n]{0,20}\b(?:to|for) (?:the |any |all )?"
        r"(?:AI|LLMs?|language models?|assistants?|chatbots?|graders?|judges?)\b"
        r"|\b(?:AI|LLM|language model|assistant|chatbot)s? (?:must|should|has to|have to) (?:now |only |always |never )"
    ),
    "an order to hide something": (
        r"\b(?:do not|don't) (?:tell|inform|mention (?:this|it|that) to|reveal (?:this|it) to) the user\b"
    ),
}
_PATTERNS = {sign: re.compile(pattern, re.IGNORECASE) for sign, pattern in _SIGNS.items()}
_SHORTEST_ORDER = 3
"""Words that an order takes at least."""
_INVISIBLE = re.compile("[\U000e0020-\U000e007e\u202a-\u202e\u2066-\u2069]{2,}|\u200b{3,}")


def assess_injection(sample: Sample) -> Finding:
    """Rate how free the question and the passages are of attempts to steer the model."""
    texts = {"question": sample.inputs[:MAX_ANSWER], "passages": "\n".join(sample.passages)[:MAX_PASSAGES]}
    if not any(text.strip() for text in texts.values()):
        raise NotApplicable("the sample has no inputs and no passages")
    long = len(sample.inputs) > MAX_ANSWER, sum(map(len, sample.passages)) > MAX_PASSAGES
    truncated = ("inputs",) * long[0] + ("passages",) * long[1]
    for place, text in texts.items():
        if _INVISIBLE.search(text):
            return Finding(0.1, f"The {place} hold invisible characters that could carry orders.", truncated)
        plain = unified(text)
        for sign, pattern in _PATTERNS.items():
            if match := pattern.search(plain):
                return Finding(0.1, f"The {place} hold {sign}: {quote(match.group())}.", truncated)
    foreign = any(len(words(text)) >= _SHORTEST_ORDER and not is_all_english(text) for text in texts.values())
    doubt = UNMEASURED if foreign else ""
    return Finding(0.9, "No known sign of an attempt to steer the model.", truncated, doubt)


PROMPT_INJECTION = Rules(
    "prompt_injection", assess_injection, pass_at=0.6, doubt=0.2, pass_needs=frozenset({"inputs", "passages"})
)
