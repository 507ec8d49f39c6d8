"""Writes the page of libraries: `python -m qualitrace.libraries.reference > docs/reference/libraries.md`."""

from qualitrace.libraries.library import Library
from qualitrace.libraries.table import libraries

_HEAD = """\
# Libraries

What is traced without a change to the code. [Trace a library or framework](../how-to/libraries.md) shows how. This
page is generated from the table: `python -m qualitrace.libraries.reference > docs/reference/libraries.md`.

Where the second column names an extra, `pip install 'qualitrace[NAME]'` or `qualitrace bootstrap --install` brings it.
Other versions than the tested are traced, too, and one line of the log says so. Those marked "on request" need
`QUALITRACE_INSTRUMENT=+NAME`.

| library | extra | tested | spans come from |
|---|---|---|---|
"""


def page() -> str:
    """Return the page in Markdown."""
    return _HEAD + "".join(_row(library) for library in libraries().values())


def _row(library: Library) -> str:
    name = f"`{library.name}`" + ("" if library.by_default else ", on request")
    extra = f"`{library.name}`" if library.package else "–"
    maker = (library.instrumentor or library.module).partition(":")[0]
    return f"| {name} | {extra} | `{library.versions}` | `{maker}`: {library.why} |\n"


if __name__ == "__main__":
    print(page(), end="")
