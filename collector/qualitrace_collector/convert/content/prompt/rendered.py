"""Tells whether a template rendered a search and its finds into a prompt: then the query is what was asked."""

import re
from collections.abc import Sequence

# Passages that are looked for, and characters of one that show it although the app cut its end. They bound the time.
MAX_PASSAGES = 100
MAX_SHOWN = 200

_SENTENCE = re.compile(r"\S\s.*[?？!.。]\s*\Z", re.DOTALL)


def is_rendered(prompt: str, query: str, passages: Sequence[str]) -> bool:
    """Whether a prompt holds one of the passages and, beside them, the query on its own, not as words of a sentence."""
    query = query.strip()
    if not query or query not in prompt or len(query) == len(prompt.strip()):
        return False
    texts = [text for passage in passages[:MAX_PASSAGES] if (text := passage.strip()) and text != query]
    if not any(text[:MAX_SHOWN] in prompt for text in texts):
        return False
    for text in sorted(texts, key=len, reverse=True):
        prompt = prompt.replace(text, "\n")
    quoted = re.escape(query)
    if _SENTENCE.search(query):
        return re.search(rf"(?<!\w){quoted}(?!\w)", prompt) is not None
    # Keywords may stand in the question itself; a variable of a template stands at a line's end, a label or a quote.
    return re.search(rf"(?m)(?:^|[^\w\s,])[ \t]*{quoted}[ \t]*(?:$|[^\w\s,])", prompt) is not None
