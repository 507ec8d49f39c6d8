"""The page of libraries is that of the table."""

from pathlib import Path

from qualitrace.libraries import reference

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "libraries.md"


def test_the_page_is_up_to_date():
    """`python -m qualitrace.libraries.reference > docs/reference/libraries.md` would change nothing."""
    assert PAGE.read_text() == reference.page(), (
        "run: python -m qualitrace.libraries.reference > docs/reference/libraries.md"
    )
