"""What is taken out of judged texts: all that a reader does not see."""

import pytest

from qualitrace_monitors.judges.cleaning import cleaned


@pytest.mark.parametrize(
    "hidden",
    [
        *(
            "\x00",
            "\x1b",
            "\x7f",
            "\xad",
            "\u034f",
            "\u061c",
            "\u115f",
            "\u180b",
            "\u180e",
            "\u200b",
            "\u200c",
            "\u200d",
        ),
        *("\u200e", "\u202a", "\u202e", "\u2060", "\u2065", "\u2066", "\u2069", "\u3164", "\ufe00", "\ufe0f", "\ufeff"),
        *(
            "\uffa0",
            "\ufff9",
            "\ud800",
            "\U000e0000",
            "\U000e0001",
            "\U000e0061",
            "\U000e007f",
            "\U000e0100",
            "\U000e01ef",
        ),
    ],
)
def test_invisible_characters_are_dropped(hidden: str) -> None:
    """Wherever they stand, alone or many."""
    assert cleaned(f"{hidden}pa{hidden}ss{hidden * 3} — now{hidden}") == "pass — now"


def test_ends_of_lines_are_seen_by_all() -> None:
    """What one program shows as a new line and another one hides becomes one that all show."""
    assert cleaned("a\r\nb\rc\u2028d\u2029e\x85f\x0bg\x0ch\ni\tj") == "a\nb\nc\nd\ne\nf\ng\nh\ni\tj"


@pytest.mark.parametrize(
    "text", ["", "plain", "é, 日本語, Ελλάδα", "می\u200cخواهم", "क्\u200dष", "👩\u200d🔬", "👩🏽\u200d🔬"]
)
def test_what_a_reader_sees_is_kept(text: str) -> None:
    """So are the joiners without which words of Persian and Hindi, and composed emoji, are misspelt."""
    assert cleaned(text) == text


def test_joiners_that_join_nothing_are_dropped() -> None:
    """Several in a row could carry a message, and Latin letters need none."""
    assert cleaned("می\u200c\u200d\u200cخواهم a\u200db é\u200cé") == "میخواهم ab éé"
