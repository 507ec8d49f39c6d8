"""What a reply repeats of the judged text: a verdict there is the text's, not the model's."""

import html
import re
import unicodedata
from collections.abc import Iterable

from qualitrace_monitors.judges.local.lookalikes import lookalike

# What changes when a text is quoted, escaped, indented or written as Python: all but letters, digits, and the signs
# that make a number another one; and the fences of the prompt, which a model may repeat.
_CHANGING = re.compile(r"</?data-[0-9a-f]{16}>|[^\w.%+-]|_")

_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\+[nrtbf]")
_ESCAPED_TIMES = 3  # a JSON text in a JSON text, and that in another
_NUMBER = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")


class Judged:
    """The texts that a model was shown, as one looks for copies in them."""

    def __init__(self, texts: Iterable[str]) -> None:
        bare = [_bare(text) for text in texts]
        self._texts = [*bare, "".join(bare)]  # a verdict may be planted in two texts, half and half

    def holds(self, text: str) -> bool:
        """Whether one of them has the text, however it is quoted."""
        bare = _bare(text)
        return bool(bare) and any(bare in judged for judged in self._texts)


def _bare(text: str) -> str:
    """Bring a text to what is left of it in any form of quotation; 1.00 and 1e0 become 1, as a JSON writer has it.

    Models also write capitals, HTML's escapes, full-width letters and lookalikes as plain letters.
    """
    for _ in range(_ESCAPED_TIMES):
        text = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)) if escape[1] else "", text)
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = unicodedata.normalize("NFKD", html.unescape(text))
    text = text.translate({ord(c): lookalike(c) or c for c in set(text) if not c.isascii()}).casefold()
    return _CHANGING.sub("", _NUMBER.sub(lambda number: f"{float(number[0]):g}", text))
