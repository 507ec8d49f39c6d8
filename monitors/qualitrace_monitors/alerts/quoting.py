"""What notifications quote of a service's traffic, whose writers are not those who notify.

Chats and terminals obey what they are shown: a name with a line end would write lines of the notification, `@everyone`
would call everybody, and a link could show another address than its own.
"""

import re

from qualitrace_monitors.answers.personal_data import masked
from qualitrace_monitors.answers.texts import shortened

_APART = "\u200b"
"""A space without width: it parts what would be a mention or a link, and nobody sees it."""
_OBEYED = re.compile(r"@(?=\S)|<(?=\S)|\](?=\()")
_JOINERS = "\u200c\u200d"  # of emoji, and of scripts that are not Latin; not printable by Python's word


def inert(text: str) -> str:
    """Return a text on one line, with nothing in it that a chat or terminal obeys."""
    line = "".join(letter if letter.isprintable() or letter in _JOINERS else " " for letter in text)
    return _OBEYED.sub(lambda found: found[0] + _APART, " ".join(line.split()))


def quoted(text: str, most: int) -> str:
    """Return a text from the traffic, inert, with personal data masked, in at most `most` characters."""
    return shortened(inert(masked(text)), most)
