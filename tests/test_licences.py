"""What an installation brings may be used: the licences of distributions, and of the data in the packages."""

from pathlib import Path

import pytest

from support import licences

ROOT = Path(__file__).parents[1]


def test_each_distribution_of_the_server_has_an_allowed_licence():
    """The rows of `docs/reference/licences.md` and this environment's own; a new licence is looked at before it is allowed."""
    found = {
        name: (licences.licence(name), left)
        for name in licences.brought(["server"])
        if (left := licences.refused(name))
    }
    assert found == {}


def test_what_qualitrace_requires_is_on_the_page():
    """With ranges and licences. The rest depends on releases and the platform."""
    page = (ROOT / "docs" / "reference" / "licences.md").read_text()
    assert licences.direct() in page, "run: PYTHONPATH=tests python -m support.licences > docs/reference/licences.md"


def test_requirements_are_followed_through_extras_and_markers():
    """Of qualitrace's own extras and of others, by what holds on this platform."""
    sdk, server = licences.brought(), licences.brought(["server"])
    assert sdk["wrapt"].versions == ">=1.17,<3"
    assert (sdk["typing-extensions"].versions, "mlflow" in sdk) == ("", False)
    assert server.keys() > sdk.keys()
    assert server["python-stdnum"].by == "qualitrace"  # by its extra `redact`
    assert server["psycopg-binary"].by == "psycopg"  # by psycopg[binary]
    assert server["hpack"].by == "h2"
    assert "psycopg-c" not in server  # another extra's
    assert "pywin32" not in server  # docker's, on Windows


@pytest.mark.parametrize(
    ("metadata", "licence", "refused"),
    [
        ("License-Expression: MIT OR (Apache-2.0 AND BSD-3-Clause)", "MIT OR (Apache-2.0 AND BSD-3-Clause)", set()),
        ("License-Expression: MIT AND GPL-3.0-only", "MIT AND GPL-3.0-only", {"GPL-3.0-only"}),
        ("License-Expression: (MIT OR AGPL-3.0-or-later)", "(MIT OR AGPL-3.0-or-later)", {"AGPL-3.0-or-later"}),
        (
            "License-Expression: LGPL-3.0-only\nClassifier: License :: OSI Approved :: MIT License",
            "LGPL-3.0-only",
            {"LGPL-3.0-only"},
        ),
        ("License: mit", "MIT", set()),
        ("License: BSD-3-Clause\nClassifier: License :: OSI Approved :: BSD License", "BSD-3-Clause", set()),
        ("License: The text\n\tof many lines\nClassifier: License :: OSI Approved :: MIT License", "MIT", set()),
        (
            "Classifier: License :: OSI Approved :: GNU General Public License v2 (GPLv2)\n"
            "Classifier: License :: OSI Approved :: MIT License",
            "GNU General Public License v2 (GPLv2), MIT",
            {"GNU General Public License v2", "GPLv2"},
        ),
        (
            "License: Proprietary, all rights reserved",
            "Proprietary, all rights reserved",
            {"Proprietary", "all rights reserved"},
        ),
        (
            "Classifier: License :: Other/Proprietary License",
            "Other/Proprietary License",
            {"Other/Proprietary License"},
        ),
        ("Summary: says nothing", "", {"no licence stated"}),
    ],
)
def test_a_licence_is_read_from_metadata_of_any_age(
    metadata: str, licence: str, refused: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """By PEP 639, by the field `License` or by classifiers; what was not allowed is named."""
    folder = tmp_path / "made_up-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: made-up\nVersion: 1\n{metadata}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert licences.licence("made-up") == licence
    assert licences.refused("made-up") == refused


def test_the_notice_names_each_file_of_weights():
    """They are made from others' data, which asks for its authors' names."""
    notice = (ROOT / "NOTICE").read_text().splitlines()
    files = [
        str(path.relative_to(ROOT / layer))
        for layer in ("tracer", "collector", "monitors")
        for path in (ROOT / layer).rglob("*.npz")
    ]
    assert files
    assert set(files) <= set(notice)
