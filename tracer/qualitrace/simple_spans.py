"""Most spans leave as they are: their attributes are plain, short, can be encoded, and hold nothing to redact.

One look shows that. The other rooms, which look at each part of a span for one thing, are asked about the rest only.
"""

from functools import lru_cache

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from qualitrace.redaction.attributes import is_count, is_plain_key, plain
from qualitrace.redaction.secrets import is_secret_name

# As many spans of no more bytes as leave the queue together fit into one request.
SIMPLE_BYTES = 1 << 16
# As `bounds` counts: of an attribute all but its text, or a number.
_BYTES_BESIDE_TEXT = 72


def simple_texts(span: ReadableSpan) -> list[str] | None:
    """Return all that could be redacted in a span that takes at most `SIMPLE_BYTES` and can be encoded as it is.

    None of any other span, and of one that only a closer look could tell to be such: with events or links, or with
    attributes whose names tell something, or that are neither texts, flags, small numbers nor rows of texts.
    """
    if not _are_plain(tuple(attributes := plain(span.attributes))):
        return None
    texts = [span.name]
    for value in attributes.values():
        kind = type(value)
        if kind is str:
            texts.append(value)
        elif kind is tuple and all(type(item) is str for item in value):
            texts += value
        elif not (kind is int and is_count(value)) and kind is not float and kind is not bool:
            return None
    if span.status.description or span.events or span.links or not _can_be_encoded(span.instrumentation_scope):
        return None
    joined = "".join(texts)
    if 4 * len(joined) + _BYTES_BESIDE_TEXT * (len(attributes) + len(texts)) > SIMPLE_BYTES:
        return None
    return texts if joined.isascii() or encodes(joined) else None


@lru_cache(maxsize=1000)  # a kind of span has the same keys each time
def _are_plain(keys: tuple[str, ...]) -> bool:
    return all(type(key) is str and is_plain_key(key) and not is_secret_name(key) for key in keys)


def encodes(text: str) -> bool:
    """Return whether a text can be encoded: half of a character cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@lru_cache(maxsize=256)
def _can_be_encoded(scope: InstrumentationScope | None) -> bool:
    return scope is None or encodes(f"{scope.name}{scope.version}")
