"""The page `/runbook/NAME`: what to do about a problem or an alert."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape

from qualitrace_monitors.web.page import NotFound, Page, PageRequest, Sources

_PACKAGE = Path(__file__).parents[2]
_FOLDERS = (_PACKAGE.parents[1] / "docs" / "runbooks", _PACKAGE / "runbooks")
"""Where the pages are: in docs/ of a checkout, and in a wheel, which is built with them."""
FILES = {path.stem: path for folder in _FOLDERS for path in folder.glob("*.md")}
"""The pages by the names in their addresses; `README` lists them."""

_PARENT = re.compile(r"(?:\.\./)+")


def _context(_sources: Sources, request: PageRequest) -> Mapping[str, Any]:
    name = request.parts[1].removesuffix(".md")  # as the pages name each other, and Prometheus' rules name them
    if name not in FILES:
        raise NotFound(f"no runbook is called {name!r}")
    title, text = _rendered(name)
    return {"title": title, "text": text}


@cache
def _rendered(name: str) -> tuple[str, Markup]:
    """Return the title of a page, and its text as HTML."""
    source = FILES[name].read_text(encoding="utf-8")
    title = source.partition("\n")[0].removeprefix("# ")
    return title, Markup(_markdown().render(source))  # noqa: S704  # the package's own text


@cache
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("js-default")  # without HTML, with tables
    markdown.add_render_rule("fence", _fence)
    markdown.add_render_rule("link_open", _link_open)
    markdown.add_render_rule("link_close", _link_close)
    return markdown


def _fence(_: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType) -> str:
    """Write a block that those who scroll by keyboard can reach."""
    return f'<pre tabindex="0"><code>{escape(tokens[index].content)}</code></pre>\n'


def _link_open(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    return renderer.renderToken(tokens, index, options, env) if _is_here(tokens[index]) else ""


def _link_close(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """End a link; of a page of the documentation that is not here, say which it is."""
    opened = next(token for token in reversed(tokens[:index]) if token.type == "link_open")
    if _is_here(opened):
        return renderer.renderToken(tokens, index, options, env)
    place = _PARENT.sub("docs/", str(opened.attrs["href"]), count=1)
    return f" (<code>{escape(place)}</code>)"


def _is_here(opened: Token) -> bool:
    target = str(opened.attrs["href"])
    return target.startswith(("https:", "http:", "#")) or target.partition("#")[0].removesuffix(".md") in FILES


PAGE = Page("/runbook/{name}", "runbook.html", _context)
