"""The page of every key of the configuration is that of the models."""

from pathlib import Path

from qualitrace_monitors.config import reference

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"


def test_the_committed_page_is_up_to_date():
    """`python -m qualitrace_monitors.config.reference > docs/reference/configuration.md` would change nothing."""
    assert PAGE.read_text() == reference.page(), (
        "run: python -m qualitrace_monitors.config.reference > docs/reference/configuration.md"
    )


def test_every_key_has_a_meaning():
    """A field without a docstring would have an empty cell."""
    assert "|  |\n" not in reference.page()
