"""Writes docs/reference/licences.md: `PYTHONPATH=tests python -m support.licences > docs/reference/licences.md`.

The licences are those that the installed distributions state, so run it where `.[server]` is installed.
"""

import platform
import re
import sys
import tomllib
from collections import deque
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]

# What any distribution may be under. Of a dual licence each part has to be here, or the whole as it is written.
_PERMISSIVE = {
    "0BSD",
    "Apache-2.0",
    "BSD",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "PSF-2.0",
    "Zlib",
}

# Copyleft of single files or libraries: what qualitrace imports unchanged may be, but only after a look at each.
_WEAK_COPYLEFT = {
    "certifi": "MPL-2.0",
    "psycopg": "LGPL-3.0-only",
    "psycopg-binary": "LGPL-3.0-only",
    "python-stdnum": "LGPL-2.0-or-later",
    "tqdm": "MPL-2.0",
}

# Distributions whose metadata names no licence, by the LICENSE file that they bring.
_BY_THEIR_FILE = {"huey": "MIT", "skops": "MIT"}

_SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",  # the classifier leaves open which
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""SPDX's names by those of classifiers and of texts in `License`."""

_HEAD = """\
# Licences

qualitrace's code is under [Apache-2.0](../../LICENSE). Three of its data files are made from others' data; of these,
`english.npz` and `commonness.npz` are under CC-BY-SA-4.0. [NOTICE](../../NOTICE) names the sources, and each installation has it.

The tables list what `pip install '.[server]'` brings with {python} on {system}, and the licence that each distribution
states in its metadata. SDK marks what `pip install .` brings, too. Other releases and platforms may bring others.

- `BSD` and licences with commas between them come from older metadata, which does not say which BSD, or whether `and` or `or`.
- Wheels such as NumPy's hold libraries of other authors; their licences lie in the wheel.
- None states GPL or AGPL. certifi, psycopg, python-stdnum and tqdm are under LGPL or MPL: a changed copy of one has to stay
  under its licence. qualitrace imports them unchanged.
- A test fails when a distribution states a licence that is not allowed (`tests/support/licences.py`).

This page is generated: `PYTHONPATH=tests python -m support.licences > docs/reference/licences.md`.
"""


class Brought(NamedTuple):
    """A distribution that an installation brings.

    Attributes:
        versions: what qualitrace itself asks for, such as `>=2,<3`; empty if only others require it.
        by: the nearest distribution that requires it.
    """

    versions: str
    by: str


def brought(extras: Iterable[str] = ()) -> dict[str, Brought]:
    """Return what qualitrace with `extras` brings on this Python and platform, by normalised name."""
    found: dict[str, Brought] = {}
    start = ("qualitrace", frozenset(extras))
    waiting, met = deque([start]), {start}
    while waiting:  # breadth first, so that what is found first is nearest
        by, by_extras = waiting.popleft()
        for requirement in _requirements(by, by_extras):
            name = canonicalize_name(requirement.name)
            if name != "qualitrace":
                versions = ",".join(sorted(map(str, requirement.specifier), reverse=True)) if by == "qualitrace" else ""
                found.setdefault(name, Brought(versions, by))
            following = (name, frozenset(requirement.extras))
            if following not in met:
                met.add(following)
                waiting.append(following)
    return found


def _requirements(name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    """Yield what a distribution with extras requires here; qualitrace by its source, as installed it may be older."""
    if name == "qualitrace":
        optional = _PROJECT["optional-dependencies"]
        texts = [*_PROJECT["dependencies"], *(text for extra in extras for text in optional[extra])]
    else:
        texts = distribution(name).requires or []
    for requirement in map(Requirement, texts):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ["", *extras]):
            yield requirement


def licence(name: str) -> str:
    """Return what an installed distribution is under: an SPDX expression, else names with commas, else ``.

    `License-Expression` (PEP 639) goes first, then `License` where that is SPDX too, as it is more exact than classifiers.
    """
    metadata = distribution(name).metadata
    stated = (metadata.get("License") or "").strip().partition("\n")[0]
    try:
        return canonicalize_license_expression(metadata.get("License-Expression") or stated)
    except InvalidLicenseExpression:
        classifiers = [text.split(" :: ") for text in metadata.get_all("Classifier") or []]
        names = [words[-1] for words in classifiers if words[0] == "License" and words[-1] != "OSI Approved"] or [
            stated
        ]
        return ", ".join(_SPDX.get(text, text) for text in names) or _BY_THEIR_FILE.get(name, "")


def refused(name: str) -> set[str]:
    """Return the parts of an installed distribution's licence that nobody allowed."""
    parts = {part.strip() for part in re.split(r"[()]|,| AND | OR ", licence(name))} - {""}
    return (parts or {"no licence stated"}) - _PERMISSIVE - {_WEAK_COPYLEFT.get(name, "")}


def direct() -> str:
    """Return the table of what qualitrace itself requires."""
    rows = {name: one.versions for name, one in _server() if one.by == "qualitrace"}
    return _table("Required by qualitrace", "versions", rows)


def page() -> str:
    """Return the page in Markdown."""
    head = _HEAD.format(python="Python {}.{}".format(*sys.version_info), system=platform.system())
    rows = {name: one.by for name, one in _server() if one.by != "qualitrace"}
    return "\n".join([head, direct(), _table("Required by these", "required by", rows)])


def _server() -> list[tuple[str, Brought]]:
    return sorted(brought(["server"]).items())


def _table(title: str, column: str, rows: dict[str, str]) -> str:
    sdk = brought()
    lines = [f"| {name} | {text} | {licence(name)} | {'✓' if name in sdk else ''} |\n" for name, text in rows.items()]
    return f"## {title}\n\n| distribution | {column} | licence | SDK |\n|---|---|---|---|\n{''.join(lines)}"


if __name__ == "__main__":
    print(page(), end="")
