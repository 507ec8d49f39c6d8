"""What mkdocs does besides: pages from outside of `docs/`, and links to files that are no pages."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "README.md": "project/README.md",
    "CHANGELOG.md": "project/CHANGELOG.md",
    "CONTRIBUTING.md": "project/CONTRIBUTING.md",
    "SECURITY.md": "project/SECURITY.md",
    "benchmarks/README.md": "project/benchmarks.md",
    "deploy/README.md": "project/deploy.md",
    "tracer/README.md": "project/tracer.md",
    "collector/README.md": "project/collector.md",
    "monitors/README.md": "project/monitors.md",
}
"""Pages of the repository that the site has, too, by their places there."""
_PLACES = {place: path for path, place in OUTSIDE.items()}
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> None:
    """Add the pages from outside, and leave out of the warnings what the navigation reaches by an index page."""
    for path, place in OUTSIDE.items():
        files.append(File.generated(config, place, content=(ROOT / path).read_text()))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links at the site's places; a file of the repository that is no page is named instead."""
    here = page.file.src_uri
    origin = _PLACES.get(here, f"docs/{here}")

    def placed(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        place = OUTSIDE.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if place is None:
            return text if text.strip("`") == path else f"{text} (`{path}` in the repository)"
        return f"[{text}]({posixpath.relpath(place, posixpath.dirname(here) or '.')}{anchor})"

    return _LINK.sub(placed, markdown)
