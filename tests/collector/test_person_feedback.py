"""How a person's label is read."""

import pytest

from qualitrace_collector.person_feedback import read_label


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (True, True),
        (False, False),
        (1, True),
        (0.4, False),
        ("Yes", True),
        ("thumbs down", False),
        (7, None),
        ("?", None),
    ],
)
def test_labels_are_read_in_the_forms_that_people_give(value: object, good: bool | None):
    """True or false, 0 to 1, and words; anything else is not a label."""
    assert read_label(value) is good
