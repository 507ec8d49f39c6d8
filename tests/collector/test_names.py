"""Names that come from outside."""

import pytest

from qualitrace_collector.names import MAX_LENGTH, OTHER, clean


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("shop", "shop"),
        ("  two\nlines\x1b[31m ", "two lines [31m"),
        ("\u202epohs\u2066", "pohs"),
        ("shop\u200b", "shop"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("a/../b", "a/../b"),
        ("...", "..."),
        ("..", OTHER),
        (" .\u200b", OTHER),
        ("\u2069", OTHER),
        ("x" * 300, "x" * MAX_LENGTH),
    ],
)
def test_names_are_one_line_that_every_page_can_show_and_address(given: str, cleaned: str) -> None:
    """Nothing in them turns the writing around, looks like nothing, or is a step in an address."""
    assert clean(given) == cleaned
