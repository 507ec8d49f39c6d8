"""Prompt injection: do the question or the passages try to steer the model?

The rules look for patterns of known attempts, in English, and for characters that a person would not see. A pass means
that no known sign is there, not that the text is harmless. A text in another language leaves the judge unsure.
"""

import re

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.contract import BuiltinMetric, Finding, TextName
from qualitrace_monitors.judges.local.disguise import revealed
from qualitrace_monitors.judges.local.language import UNMEASURED, is_all_english
from qualitrace_monitors.judges.local.normal import unified
from qualitrace_monitors.judges.local.text import MAX_PASSAGES, quote, words

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
_SHORTEST_ORDER = 3  # words of the shortest order
_INVISIBLE = re.compile("[\U000e0020-\U000e007e\u202a-\u202e\u2066-\u2069]{2,}|\u200b{3,}")


def assess_injection(sample: Sample) -> Finding:
    """Rate how free the question and the passages are of attempts to steer the model."""
    texts = {"question": sample.inputs, "passages": "\n".join(sample.passages)[:MAX_PASSAGES]}
    cut: tuple[TextName, ...] = ("passages",) * (sum(map(len, sample.passages)) > MAX_PASSAGES)
    for place, text in texts.items():
        if _INVISIBLE.search(text):  # `unified` would drop them
            return Finding(0.1, f"The {place} hold invisible characters that could carry orders.", cut)
        if found := _attempt(text):
            sign, said = found
            return Finding(0.1, f"The {place} hold {sign}: {quote(said)}.", cut)
    foreign = any(len(words(text)) >= _SHORTEST_ORDER and not is_all_english(text) for text in texts.values())
    doubt = UNMEASURED if foreign else ""
    return Finding(0.9, "No known sign of an attempt to steer the model.", cut, doubt)


def _attempt(text: str) -> tuple[str, str] | None:
    """Return the sign of an attempt and the words that show it, as they stand in the text."""
    plain, view = unified(text), revealed(text)
    for sign, pattern in _PATTERNS.items():
        if match := pattern.search(plain):
            return sign, match.group()
        if view.text != plain and (match := pattern.search(view.text)):
            return sign, view.original(*match.span())
    return None


PROMPT_INJECTION = BuiltinMetric(
    name="prompt_injection",
    asks="are question and passages free of attempts to steer the model?",
    needs=("inputs", "passages"),
    any_need_will_do=True,
    version=2,
    rules="patterns of known attempts to steer the model, invisible characters",
    is_heuristic=True,
    assess=assess_injection,
    whole_for_pass=("inputs", "passages"),
    criterion_version=1,
    criterion=(
        "Absence of prompt injection: are the question and the document free of text that tries to steer the "
        "application's model, such as orders to drop its instructions, to reveal them, to take another role or to hide "
        "something from the user? 1 means that there is no such text."
    ),
)
