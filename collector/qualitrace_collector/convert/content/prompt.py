"""Material to answer from, split off the prompt that carries it."""

import re

# A prompt that carries passages says so: a tag, a heading or numbered sources.
_KINDS = r"context|documents?|passages?|sources?|background|references?|knowledge|excerpts?|search results"
_TAG = re.compile(rf"(?i)<(/?)({_KINDS})\b[^<>]{{0,80}}>")
_HEADING = re.compile(rf"(?im)^\W{{0,8}}(?:{_KINDS})\b[^\n:]{{0,60}}:|^[ \t]{{0,8}}\[\d+\]")
_QUESTION = re.compile(r"(?ims)^\W{0,8}(?:user )?(?:question|query)\s*:(.*)\Z")


def split_prompt(text: str, role: str = "user") -> tuple[str, list[str]]:
    """Split a prompt into the question and the material to answer from; all question if nothing is marked."""
    outside, tagged = _split_tagged(text)
    if tagged:
        return outside.strip(), [part for block in tagged for part in _paragraphs(block)]
    if not (heading := _HEADING.search(text)):
        return text, []
    asked = _QUESTION.search(text)
    end = asked.start() if asked else len(text)
    material = text[heading.start() : end] if heading.start() < end else text[heading.start() :]
    return asked.group(1).strip() if asked else text, _paragraphs(material)


def _split_tagged(text: str) -> tuple[str, list[str]]:
    """Split off what stands between a tag and the next end of its kind, in time linear in the text."""
    tags = list(_TAG.finditer(text))
    last_end = {tag.group(2).lower(): tag.start() for tag in tags if tag.group(1)}
    outside: list[str] = []
    inside: list[str] = []
    position, opened = 0, None
    for tag in tags:
        is_end, kind = bool(tag.group(1)), tag.group(2).lower()
        if opened is None:
            opened = tag if not is_end and last_end.get(kind, 0) > tag.start() else None
        elif is_end and kind == opened.group(2).lower():
            outside.append(text[position : opened.start()])
            inside.append(text[opened.end() : tag.start()])
            position, opened = tag.end(), None
    return "".join([*outside, text[position:]]), inside


def _paragraphs(text: str) -> list[str]:
    parts = re.split(r"\n\s*\n|\n(?=[ \t]*\[\d+\])", text)
    return [cleaned for part in parts if (cleaned := _HEADING.sub("", part, count=1).strip())]
