"""Shows at the root what MLflow lists of the whole trace: the tags that any span sets, and the prompts that were used.

MLflow reads both from the span without a parent alone.
"""

from collections.abc import Sequence

from qualitrace_collector.convert.prompts import PROMPTS_TAG, TAG_PREFIX, Prompt, linked_prompts, linked_prompts_text
from qualitrace_collector.convert.span_draft import SpanDraft

# MLflow keeps a row for each tag of each trace, and shows them in one cell of a table.
MAX_TAGS = 50
MAX_PROMPTS = 20


def tag_root(root: SpanDraft, drafts: Sequence[SpanDraft]) -> None:
    """Give the root the tags and prompts of all spans; of several values of a tag the root's, or else the first."""
    tags: dict[str, str] = {}
    prompts: dict[Prompt, None] = {}
    for draft in (root, *drafts):
        for key, value in draft.values.items():
            if key.startswith(TAG_PREFIX) and len(tags) < MAX_TAGS:
                opened = draft.loads(value)  # of a stored span it is a JSON string
                tags.setdefault(key, opened if isinstance(opened, str) else str(value))
        if len(prompts) < MAX_PROMPTS:
            prompts.update(dict.fromkeys(linked_prompts(draft.values)))
    if prompts:
        tags[PROMPTS_TAG] = linked_prompts_text(list(prompts)[:MAX_PROMPTS])
    root.added |= tags
